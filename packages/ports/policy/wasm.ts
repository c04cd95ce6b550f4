import { readFile } from 'node:fs/promises'
import { type LoadedPolicy, loadPolicy } from '@open-policy-agent/opa-wasm'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import { Decision, type PolicyInput } from '@soma/contracts/policy'
import { z } from 'zod'
import { digestOf, PolicyDocument } from './compile.ts'
import type { Policy, PolicyData } from './port.ts'

const EVALUATOR = new URL('../../../policies/decision.wasm', import.meta.url)
/** Bytes. A question holds facts, not content; a longer one would hold up everybody else's. */
const LONGEST_QUESTION = 1024 * 1024

const Answer = z.tuple([z.object({ result: Decision })])

interface InForce {
  version: string
  readsArguments: boolean
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
  const tenants = new Map<string, InForce>()

  return {
    async load(tenant, data) {
      const document = checkData(data)
      const same = [...tenants.values()].find((inForce) => inForce.version === data.version)
      tenants.set(tenant, same ?? (await putInForce(wasm, data.version, document)))
    },

    loadedVersion: (tenant) => tenants.get(tenant)?.version,

    async decide(input) {
      const inForce = tenants.get(input.principal.tenant)
      if (!inForce) {
        throw new SomaError(
          'policy_unavailable',
          `No constitution is in force for tenant "${input.principal.tenant}", so nothing is allowed. Publish one.`,
        )
      }
      return evaluate(inForce, input)
    },

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

function checkData({ version, document }: PolicyData): PolicyDocument {
  const shape = PolicyDocument.safeParse(document)
  if (!shape.success) {
    throw new SomaError('invalid_input', `Policy data ${version} is not what compileConstitution makes: ${z.prettifyError(shape.error)}`)
  }
  const actual = digestOf(document)
  if (actual !== version) {
    throw new SomaError('digest_mismatch', `Policy data says it is ${version} and is ${actual}. Compile it again.`, { version, actual })
  }
  return shape.data
}

async function putInForce(wasm: Uint8Array, version: string, { rules, readsArguments }: PolicyDocument): Promise<InForce> {
  const evaluator = await startEvaluator(wasm)
  try {
    evaluator.setData({ rules, version })
  } catch (cause) {
    throw unavailable('The evaluator does not take the rules', cause)
  }
  return { version, readsArguments, evaluator }
}

function evaluate({ evaluator, readsArguments }: InForce, input: PolicyInput): Decision {
  const question = encode(readsArguments ? input : { ...input, action: { ...input.action, arguments: undefined } })
  try {
    return Answer.parse(evaluator.evaluate(question))[0].result
  } catch (cause) {
    throw unavailable(`The evaluator gave no decision on ${input.action.name}`, cause)
  }
}

function encode(input: PolicyInput): ArrayBufferLike {
  let question: Uint8Array
  try {
    question = new TextEncoder().encode(JSON.stringify(input))
  } catch (cause) {
    throw unavailable(`The question about ${input.action.name} can not be written as JSON`, cause)
  }
  if (question.byteLength > LONGEST_QUESTION) {
    throw new SomaError(
      'policy_unavailable',
      `The question about ${input.action.name} has ${question.byteLength} bytes; the most is ${LONGEST_QUESTION}. Describe content instead of passing it.`,
    )
  }
  return question.buffer
}

function unavailable(what: string, cause: unknown): SomaError {
  return new SomaError('policy_unavailable', `${what}, so the answer is no. The cause is in the log.`, {}, { cause })
}
