import type { BaseOptions, GenericError } from '@platformatic/kafka'
import { SomaError } from '@soma/contracts/errors'

/** How the brokers are reached, and how topics are made that they do not have yet. */
export interface KafkaSettings {
  /** host:port of brokers to begin with. */
  brokers: readonly string[]
  username?: string
  password?: string
  saslMechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
  tls: boolean
  partitions: number
  replicas: number
}

/** Milliseconds: how long to wait for a connection, and for an answer. */
const CONNECT_TIMEOUT = 3000
const REQUEST_TIMEOUT = 30_000

/**
 * What every client of ours has in common. It tries a question once more; whoever uses it goes on trying for as long as it takes.
 * @throws `invalid_input` without brokers
 */
export function clientOptions({ brokers, username, password, saslMechanism, tls }: KafkaSettings): BaseOptions {
  if (brokers.length === 0)
    throw new SomaError('invalid_input', 'Events go to Kafka, but no broker is named. Set SOMA_KAFKA_BROKERS to host:port of one or more.')
  return {
    clientId: 'soma',
    bootstrapBrokers: [...brokers],
    connectTimeout: CONNECT_TIMEOUT,
    requestTimeout: REQUEST_TIMEOUT,
    retries: 1,
    retryDelay: 100,
    ...(tls ? { tls: {} } : {}),
    ...(username === undefined ? {} : { sasl: { mechanism: saslMechanism, username, password: password ?? '' } }),
  }
}

/** @param error of the client */
export function kafkaUnavailable({ brokers }: KafkaSettings, error: unknown): SomaError {
  const message = `Kafka at ${brokers.join(', ')} does not answer: ${reasonOf(error)}. Start it, or correct SOMA_KAFKA_BROKERS.`
  return new SomaError('dependency_unavailable', message, { dependency: 'kafka' }, { cause: error })
}

/** The innermost reason: the client wraps what happened into what it tried. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors.at(-1))
  if (!(error instanceof Error)) return String(error)
  return error.cause ? reasonOf(error.cause) : error.message
}

/** @param apiId as Kafka's protocol names its errors: `NON_EMPTY_GROUP` */
export function isKafkaError(error: unknown, apiId: string): boolean {
  return says(error, 'apiId', apiId)
}

/** Whether a group refused something because it is being put together anew. */
export function isRebalancing(error: unknown): boolean {
  return says(error, 'needsRejoin', true)
}

function says(error: unknown, property: 'apiId' | 'needsRejoin', value: unknown): boolean {
  const { findBy } = error as Partial<GenericError>
  return findBy !== undefined && findBy.call(error, property, value) !== null
}
