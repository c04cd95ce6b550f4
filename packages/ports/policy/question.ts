import { SomaError } from '@soma/contracts/errors'
import { withBeginnings } from '@soma/contracts/labels'
import type { PolicyInput } from '@soma/contracts/policy'
import { z } from 'zod'
import { digestOf, PolicyDocument } from './compile.ts'
import { clocksOf } from './hours.ts'
import type { PolicyData } from './port.ts'

/** Bytes. A question holds facts, not content; a longer one would hold up everybody else's. */
const LONGEST_QUESTION = 1024 * 1024
/** Half of a character, as JSON.stringify escapes it: there is no such text, and every JSON parser makes something else of it. */
const HALF_A_CHARACTER = /(?<!\\)(?:\\\\)*\\ud[89a-f]/

/** The rules that decide for a tenant, and what a question must hold for them. */
export interface RulesInForce extends Pick<PolicyDocument, 'readsArguments' | 'zones' | 'residency'> {
  version: string
}

/**
 * What a driver takes: data of the right shape that are what they say they are.
 * @throws `invalid_input`, `digest_mismatch`
 */
export function checkPolicyData({ version, document }: PolicyData): PolicyDocument {
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

/**
 * The question as JSON, to be answered by these rules and no others. Arguments that no rule looks at stay behind.
 * @param own what the tenant's own Rego gives for it, where a driver evaluates that first
 * @throws `policy_unavailable` for what can't be asked
 */
export function writeQuestion(input: PolicyInput, rules: RulesInForce, own?: unknown): string {
  let question: string
  try {
    question = JSON.stringify({ ...completed(input, rules), policy: rules.version, own })
  } catch (cause) {
    throw noDecision(`The question about ${input.action.name} can not be written as JSON`, cause)
  }
  const length = Buffer.byteLength(question)
  if (length > LONGEST_QUESTION) {
    throw new SomaError(
      'policy_unavailable',
      `The question about ${input.action.name} has ${length} bytes; the most is ${LONGEST_QUESTION}. Describe content instead of passing it.`,
    )
  }
  if (HALF_A_CHARACTER.test(question)) throw noDecision(`The question about ${input.action.name} holds half of a character`)
  return question
}

function completed({ principal, action, context }: PolicyInput, { readsArguments, zones, residency }: RulesInForce) {
  return {
    principal,
    action: readsArguments ? action : { ...action, arguments: undefined },
    context: { ...context, labels: withBeginnings(context.labels), residency: narrower(residency, context.residency) },
    ...(zones.length > 0 && { clocks: clocksOf(zones, context.at) }),
  }
}

/** The tenant's regions and the project's: what both leave, or the one that there is. */
function narrower(one: readonly string[] | undefined, other: readonly string[] | undefined): readonly string[] | undefined {
  return one && other ? one.filter((region) => other.includes(region)) : (one ?? other)
}

/** The error when a question of the tenant comes before any rules were loaded. */
export function noRules(tenant: string): SomaError {
  return new SomaError('policy_unavailable', `No constitution is in force for tenant "${tenant}", so nothing is allowed. Publish one.`)
}

export function noDecision(what: string, cause?: unknown): SomaError {
  return new SomaError('policy_unavailable', `${what}, so the answer is no.${cause ? ' The cause is in the log.' : ''}`, {}, { cause })
}
