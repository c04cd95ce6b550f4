import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { type Constitution, Rule } from '@soma/contracts/constitution'
import { createRunLabels } from '@soma/kernel/actions/run-labels'
import { createAuthenticate } from '@soma/kernel/auth/authenticate'
import { openTokens } from '@soma/kernel/auth/open-tokens'
import { Config } from '@soma/kernel/config/schema'
import { createDecisionLog } from '@soma/kernel/gate/decision-log'
import { createGate } from '@soma/kernel/gate/gate'
import { openLimits } from '@soma/kernel/gate/limits'
import { createIdempotencyStore } from '@soma/kernel/http/idempotency'
import { createServer } from '@soma/kernel/http/server'
import { defineService, type Needs, type ServiceContext } from '@soma/kernel/http/service'
import { openKillSwitches } from '@soma/kernel/kill/kill-switches'
import { createLogger } from '@soma/kernel/telemetry/log'
import { createMetrics } from '@soma/kernel/telemetry/metrics'
import { createTracing } from '@soma/kernel/telemetry/tracing'
import { openPostgresBroadcast } from '@soma/ports/broadcast/postgres'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { parseConstitution } from '@soma/ports/policy/check'
import { compileConstitution } from '@soma/ports/policy/compile'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import { openPostgresSecrets } from '@soma/ports/secrets/postgres'
import { openPostgres } from '@soma/ports/sql/postgres'
import { z } from 'zod'
import { type Connection, memory, parametersOfChild, serve } from '../child.ts'

const tenant = 'bench'
const UNLIMITED = 1_000_000_000

/** Rules that all apply to the route and must all be looked at, since none of them comes true. */
const hundredRules: Rule[] = Array.from({ length: 100 }, (_, index) =>
  Rule.parse({
    id: `bench-${index}`,
    says: `Nothing marked secret-${index} is read from host ${index}.`,
    applies: { actions: ['http.*'] },
    when: [
      { fact: 'context.labels', is: 'includes', value: `secret-${index}` },
      { fact: 'action.resource.host', is: 'matches_suffix', value: `.host-${index}.example` },
    ],
    decide: index % 2 === 0 ? 'deny' : 'needs_approval',
  }),
)

const { connection } = parametersOfChild<{ connection: Connection }>()
const config = Config.parse({
  http: { port: 0 },
  log: { level: 'silent' },
  rateLimit: { perMinute: UNLIMITED, unauthenticatedPerMinute: UNLIMITED },
})
const sql = await openPostgres({ connection })
const [journal, broadcast, policy] = await Promise.all([openPostgresJournal(sql), openPostgresBroadcast(sql), openWasmPolicy()])
const kill = await openKillSwitches({ sql, broadcast, journal })
const base = parseConstitution(await readFile(new URL('../../policies/constitution.yaml', import.meta.url), 'utf8'))
const overlay: Constitution = { ...base, metadata: { ...base.metadata, name: 'bench' }, rules: hundredRules }
const data = compileConstitution([base, overlay])
const decisions = createDecisionLog(journal)
const gate = createGate({ policy, source: { read: async () => data }, kill, limits: await openLimits(sql), decisions })

const secrets = await openPostgresSecrets(sql, { masterKey: randomBytes(32) })
const tokens = await openTokens({ config, sql, journal, secrets, broadcast })
const { audience } = config.auth
const telemetry = {
  metrics: createMetrics(),
  tracing: await createTracing({ version: 'bench', recentSpans: config.telemetry.recentSpans }),
}
const logger = await createLogger(config.log)

const answer = { schema: { response: { 200: z.object({ status: z.literal('ok') }) } } }
const service = defineService({
  name: 'bench-service',
  summary: 'One route behind the gate.',
  routes(app) {
    app.get(
      '/v1/bench/gated',
      { config: { action: { name: 'http.bench.gated', capability: 'bench.read', effect: 'read' } }, ...answer },
      async () => ({ status: 'ok' as const }),
    )
  },
})

const context: ServiceContext = {
  config,
  logger,
  ...telemetry,
  folder: async () => tmpdir(),
  fetchAs: () => fetch,
  onStop: () => undefined,
}

/** Milliseconds that the gate took, of each request since they were last asked for. */
let gateTimes: number[] = []
const server = await createServer({
  config,
  about: { name: 'soma', version: 'bench' },
  services: [service],
  // The service asks for nothing, so nothing is opened for it.
  contextFor: () => context as ServiceContext & Needs,
  authenticate: createAuthenticate({
    apiKey: () => Promise.reject(new Error('The benchmark shows tokens.')),
    token: async (token) => (await tokens.verify(token)).principal,
  }),
  async gate(request) {
    const before = performance.now()
    const decision = await gate.pass(request)
    gateTimes.push(performance.now() - before)
    return decision
  },
  telemetry,
  runLabels: createRunLabels(journal),
  logger,
  idempotency: await createIdempotencyStore(sql),
})

const methods = {
  async listen(): Promise<{ url: string; token: string }> {
    const principal = { id: 'user:bench', kind: 'user' as const, tenant, capabilities: ['bench.read'], within: [] }
    return { url: await server.listen(), token: await tokens.issue(principal, { audience, ttlSeconds: 3600 }) }
  },
  /** Fails when a decision that was made is not in the ledger. */
  async takeGateTimes(): Promise<number[]> {
    await decisions.flush()
    const times = gateTimes
    gateTimes = []
    return times
  },
  async recorded(): Promise<number> {
    const { rows } = await sql.platform.query("select count(*)::int as count from journal.entries where kind = 'gate.decided'")
    return rows[0].count
  },
  memory,
}
export type GateMethods = typeof methods

serve(methods, async () => {
  await server.close()
  await decisions.flush()
  await kill.close()
  await tokens.close()
  await secrets.close()
  await policy.close()
  await broadcast.close()
  await journal.close()
  await sql.close()
})
