import { readFile } from 'node:fs/promises'
import { type LoadedPolicy, loadPolicy } from '@open-policy-agent/opa-wasm'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import { Decision, Explanation, type PolicyInput } from '@soma/contracts/policy'
import { z } from 'zod'
import type { Policy, PolicyData } from './port.ts'
import { checkPolicyData, noDecision, noRules, type RulesInForce, writeQuestion } from './question.ts'

const EVALUATOR = new URL('../../../policies/decision.wasm', import.meta.url)

const answerOf = <Result>(result: z.ZodType<Result>) => z.tuple([z.object({ result })])
const DECISION = { entrypoint: 'soma/decision/decision', answer: answerOf(Decision) }
const EXPLANATION = { entrypoint: 'soma/decision/explanation', answer: answerOf(Explanation) }

interface Evaluating extends RulesInForce {
  evaluator: LoadedPolicy
}

/**
 * Policy in this process: `policies/decision.rego`, compiled to WebAssembly. Tenants with the same rules share one instance.
 * @param options.wasm another build of the evaluator
 * @throws policy_unavailable when the evaluator is missing or broken
 */
export async function openWasmPolicy(options: { wasm?: Uint8Array } = {}): Promise<Policy> {
  const wasm = options.wasm ?? (await readEvaluator())
  await startEvaluator(wasm)
  const tenants = new Map<string, Evaluating>()

  function rulesFor({ principal }: PolicyInput): Evaluating {
    const inForce = tenants.get(principal.tenant)
    if (inForce) return inForce
    throw noRules(principal.tenant)
  }

  return {
    async load(tenant, data) {
      const { rules, ...needs } = checkPolicyData(data)
      const same = [...tenants.values()].find(({ version }) => version === data.version)
      tenants.set(tenant, same ?? { ...needs, version: data.version, evaluator: await evaluatorOf(wasm, data.version, rules) })
    },

    loadedVersion: (tenant) => tenants.get(tenant)?.version,

    decide: async (input) => evaluate(rulesFor(input), input, DECISION),

    explain: async (input) => evaluate(rulesFor(input), input, EXPLANATION),

    version: async () => `sha256:${sha256(wasm)}`,

    async close() {
      tenants.clear()
    },
  }
}

async function readEvaluator(): Promise<Uint8Array> {
  try {
    return await readFile(EVALUATOR)
  } catch (cause) {
    throw new SomaError(
      'policy_unavailable',
      'policies/decision.wasm can not be read. Restore it, or make it with `npm run build:policy`.',
      {},
      { cause },
    )
  }
}

async function startEvaluator(wasm: Uint8Array): Promise<LoadedPolicy> {
  try {
    return await loadPolicy(wasm)
  } catch (cause) {
    throw new SomaError('policy_unavailable', 'The policy evaluator does not start. Make it with `npm run build:policy`.', {}, { cause })
  }
}

async function evaluatorOf(wasm: Uint8Array, version: string, rules: PolicyData['document']): Promise<LoadedPolicy> {
  const evaluator = await startEvaluator(wasm)
  try {
    evaluator.setData({ soma: { policies: { [version]: { version, rules } } } })
  } catch (cause) {
    throw noDecision('The evaluator does not take the rules', cause)
  }
  return evaluator
}

interface Query<Result> {
  entrypoint: string
  answer: z.ZodType<[{ result: Result }]>
}

function evaluate<Result>(inForce: Evaluating, input: PolicyInput, { entrypoint, answer }: Query<Result>): Result {
  const question = new TextEncoder().encode(writeQuestion(input, inForce))
  try {
    return answer.parse(inForce.evaluator.evaluate(question.buffer, entrypoint))[0].result
  } catch (cause) {
    throw noDecision(`The evaluator gave no decision on ${input.action.name}`, cause)
  }
}
