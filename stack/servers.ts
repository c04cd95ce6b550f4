import type { Server } from './server.ts'
import { clickhouse } from './servers/clickhouse.ts'
import { kafka } from './servers/kafka.ts'
import { keycloak } from './servers/keycloak.ts'
import { minio } from './servers/minio.ts'
import { opa } from './servers/opa.ts'
import { openbao } from './servers/openbao.ts'
import { otelCollector } from './servers/otel-collector.ts'
import { postgres } from './servers/postgres.ts'
import { prometheus } from './servers/prometheus.ts'
import { qdrant } from './servers/qdrant.ts'
import { ray } from './servers/ray.ts'
import { redis } from './servers/redis.ts'
import { temporal } from './servers/temporal.ts'
import { toxiproxy } from './servers/toxiproxy.ts'

/** Every server of the stack, in the order in which they may start. */
export const SERVERS: readonly Server[] = [
  toxiproxy,
  postgres,
  redis,
  minio,
  clickhouse,
  qdrant,
  kafka,
  temporal,
  opa,
  keycloak,
  ray,
  openbao,
  otelCollector,
  prometheus,
]
