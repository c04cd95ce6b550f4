import { setTimeout as pass } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import { Decision, Explanation, type PolicyInput } from '@soma/contracts/policy'
import { Pool } from 'undici'
import { z } from 'zod'
import type { Policy } from '../port.ts'
import { checkPolicyData, noDecision, noRules, type RulesInForce, writeQuestion } from '../question.ts'

/** Milliseconds within which OPA must answer; as long it may take to come back after a restart. */
const ANSWER_WITHIN = 1000
/** Milliseconds within which new rules must have come to OPA in a bundle. */
const RULES_WITHIN = 5000
/** Milliseconds between two questions of the same kind. */
const PAUSE = 20
const CONNECTIONS = 32

/** What is asked for, and the shape of the answer. No result: the rules are not there, or decide nothing. */
const query = <Result>(path: string, result: z.ZodType<Result>) => ({
  path: `/v1/data/soma/decision/${path}`,
  answer: z.object({ result: result.optional() }),
})
type Query<Result> = ReturnType<typeof query<Result>>
const DECISION = query('decision', Decision)
const EXPLANATION = query('explanation', Explanation)
const LoadedVersion = z.object({ result: z.string().optional() })
const BundleStatus = z.object({ code: z.string().optional(), message: z.string().optional(), http_code: z.unknown().optional() })
const Status = z.object({
  result: z.object({ labels: z.object({ version: z.string() }), bundles: z.record(z.string(), BundleStatus).default({}) }),
})

export interface OpaOptions {
  /** `http://127.0.0.1:8181` */
  url?: string
  /** Bearer token that it asks for. */
  token?: string
}

type Ask = (request: { method: 'GET' | 'POST'; path: string; body?: string }, milliseconds: number) => Promise<unknown>

/**
 * Policy in an Open Policy Agent, which loads the rules itself, in bundles that the policy-engine signs. What it has not loaded is not in
 * force, and only the rules that the gate asked for decide: anything else, and any doubt, is no decision.
 * @throws invalid_input without an address
 */
export async function openOpaPolicy(options: OpaOptions): Promise<Policy> {
  if (!options.url) throw new SomaError('invalid_input', 'Decisions by OPA need its address: set SOMA_OPA_URL.')
  const { origin, pathname } = new URL(options.url)
  const pool = new Pool(origin, { connections: CONNECTIONS })
  const ask = asking(pool, pathname.replace(/\/$/, ''), options.token)
  const tenants = new Map<string, RulesInForce>()

  async function readLoadedVersion(version: string, milliseconds: number): Promise<string | undefined> {
    const path = `/v1/data/soma/policies/${encodeURIComponent(version)}/version`
    return LoadedVersion.parse(await ask({ method: 'GET', path }, milliseconds)).result
  }

  async function askOnce<Result>({ path, answer }: Query<Result>, body: string, milliseconds: number): Promise<Result | undefined> {
    return answer.parse(await ask({ method: 'POST', path, body }, milliseconds)).result
  }

  /** Undefined while the rules are not there. Asked again once they are, for they may have come in between. */
  async function askRules<Result>(what: Query<Result>, body: string, version: string, milliseconds: number): Promise<Result | undefined> {
    const result = await askOnce(what, body, milliseconds)
    if (result ?? !(await readLoadedVersion(version, milliseconds))) return result
    const second = await askOnce(what, body, milliseconds)
    if (second) return second
    throw noDecision('The question is none that the rules can decide')
  }

  async function answer<Result>(what: Query<Result>, input: PolicyInput, policyOf: (result: Result) => string): Promise<Result> {
    const rules = tenants.get(input.principal.tenant)
    if (!rules) throw noRules(input.principal.tenant)
    const body = `{"input":${writeQuestion(input, rules)}}`
    const result = await untilAnswered(ANSWER_WITHIN, rules.version, (milliseconds) => askRules(what, body, rules.version, milliseconds))
    if (policyOf(result) === rules.version) return result
    throw noDecision(`OPA decided ${input.action.name} by ${policyOf(result)} instead of ${rules.version}`)
  }

  return {
    async load(tenant, data) {
      const { rules: _, ...needs } = checkPolicyData(data)
      const { version } = data
      await untilAnswered(RULES_WITHIN, version, (milliseconds) => readLoadedVersion(version, milliseconds))
      tenants.set(tenant, { version, ...needs })
    },

    loadedVersion: (tenant) => tenants.get(tenant)?.version,

    decide: (input) => answer(DECISION, input, ({ policy }) => policy),

    explain: (input) => answer(EXPLANATION, input, ({ decision }) => decision.policy),

    async version() {
      const { result } = Status.parse(await ask({ method: 'GET', path: '/v1/status' }, ANSWER_WITHIN).catch(explainSilence))
      for (const bundle of Object.values(result.bundles)) assertTaken(bundle)
      return result.labels.version
    },

    async close() {
      tenants.clear()
      await pool.close()
    },
  }
}

function asking(pool: Pool, prefix: string, token: string | undefined): Ask {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
  return async ({ method, path, body }, milliseconds) => {
    const abort = new AbortController()
    // One more turn of the loop: an answer that came while this process was busy lies there, unread.
    const timer = setTimeout(() => setImmediate(() => abort.abort()), milliseconds)
    try {
      const { statusCode, body: answer } = await pool.request({ method, path: prefix + path, headers, body, signal: abort.signal })
      const text = await answer.text()
      if (statusCode === 200) return JSON.parse(text)
      throw refusalOf(statusCode, text)
    } finally {
      clearTimeout(timer)
    }
  }
}

function refusalOf(status: number, text: string): SomaError {
  const advice = status === 401 ? ' Give both the same token: SOMA_OPA_TOKEN here, ASK_TOKEN there.' : ''
  return new SomaError('policy_unavailable', `OPA answered with status ${status}.${advice}`, {}, { cause: text.slice(0, 500) })
}

/**
 * Asks until there is an answer. OPA may be silent for a moment, when it restarts, and may not have the rules yet, when they are new.
 * @param patience milliseconds that the rules may take to come
 * @param attempt undefined: the rules are not there
 * @throws policy_unavailable
 */
async function untilAnswered<Result>(
  patience: number,
  version: string,
  attempt: (milliseconds: number) => Promise<Result | undefined>,
): Promise<Result> {
  const giveUpAt = performance.now() + patience
  let silentUntil = performance.now() + ANSWER_WITHIN
  for (;;) {
    try {
      const answer = await attempt(Math.min(silentUntil, giveUpAt) - performance.now())
      if (answer !== undefined) return answer
      silentUntil = performance.now() + ANSWER_WITHIN
    } catch (cause) {
      if (SomaError.is(cause)) throw cause
      if (cause instanceof z.ZodError || cause instanceof SyntaxError) throw noDecision('OPA gave an answer that is none', cause)
      if (performance.now() + PAUSE > silentUntil) throw noDecision('OPA does not answer', cause)
    }
    if (performance.now() + PAUSE > giveUpAt) throw noDecision(`OPA did not load the rules ${version} in time`)
    await pass(PAUSE)
  }
}

function explainSilence(cause: unknown): never {
  throw new SomaError(
    'dependency_unavailable',
    SomaError.is(cause) ? cause.message : 'OPA does not answer. Start it, or correct SOMA_OPA_URL.',
    {},
    { cause },
  )
}

/** A bundle that could not be fetched says nothing about OPA: the policy-engine may not run yet. One that was refused does. */
function assertTaken({ code, message = '', http_code }: z.infer<typeof BundleStatus>): void {
  if (!code || http_code || message.startsWith('request failed')) return
  throw new SomaError(
    'dependency_unavailable',
    `OPA refuses the newest bundle and decides by the one before: ${message}. To take its signature, keys.soma.key must be the public key of SOMA_OPA_SIGNING_KEY.`,
  )
}
