import { isDeepStrictEqual } from 'node:util'
import { Capsule } from '@soma/contracts/capsule'
import type {
  ApprovalRequestInput,
  CapsuleResolveInput,
  CapsuleResolveOutput,
  CapsuleRunInput,
  CapsuleRunResult,
  ToolCallInput,
  ToolCallOutput,
} from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { WorkflowFunction } from '@soma/contracts/workflow'
import { capsuleDigest } from './digest.ts'
import { createMemoryContext } from './memory-context.ts'
import { dotted, shown } from './shape.ts'

export interface CapsuleTestResult {
  name: string
  passed: boolean
  /** Why it did not pass: what was expected and what came out, or the error. */
  problems: string[]
  output?: unknown
}

/**
 * Runs a capsule's tests: the capsule is run as it would be, and what its steps call is answered from the test's records. A test
 * touches nothing outside.
 * @param runCapsule the workflow that runs capsules
 */
export async function runCapsuleTests(
  capsule: Capsule,
  runCapsule: WorkflowFunction<CapsuleRunInput, CapsuleRunResult>,
): Promise<CapsuleTestResult[]> {
  const results: CapsuleTestResult[] = []
  for (const test of capsule.tests) results.push(await runTest(capsule, test, runCapsule))
  return results
}

async function runTest(
  capsule: Capsule,
  test: Capsule['tests'][number],
  runCapsule: WorkflowFunction<CapsuleRunInput, CapsuleRunResult>,
): Promise<CapsuleTestResult> {
  const context = recordedContext(test.name, test.recorded)
  try {
    const { output } = await runCapsule(context, {
      capsule,
      digest: capsuleDigest(capsule),
      inputs: test.inputs,
      principal: { id: 'agent:test', kind: 'agent', tenant: context.tenant, capabilities: ['*'], within: [] },
      budgets: [],
    })
    const problems = differences(test.expect, output)
    return { name: test.name, passed: problems.length === 0, problems, output }
  } catch (error) {
    if (!(error instanceof SomaError)) throw error
    return { name: test.name, passed: false, problems: [error.message] }
  }
}

/** A context in which every call of a step is answered from its record: a list by item for `map` steps; approvals are given. */
function recordedContext(test: string, recorded: Readonly<Record<string, unknown>>) {
  const answerFor = (work: string): unknown => {
    const [, step, index] = /^(.*?)(?:\[(\d+)\])?$/.exec(work) as RegExpExecArray
    const missing = new SomaError('not_found', `Test "${test}" has no record of what "${work}" calls; add it under recorded.`, { step })
    if (!Object.hasOwn(recorded, step as string)) throw missing
    const record = recorded[step as string]
    if (index === undefined) return record
    if (!Array.isArray(record) || Number(index) >= record.length) throw missing
    return record[Number(index)]
  }
  const context = createMemoryContext({
    runId: 'test',
    tenant: 'test',
    async activity(name, input): Promise<unknown> {
      if (name === 'tool.call') {
        return { output: answerFor((input as ToolCallInput).context.step), labels: [] } satisfies ToolCallOutput
      }
      if (name === 'approval.request') {
        const { step } = (input as ApprovalRequestInput).context
        context.signal(`approval:${step}`, Object.hasOwn(recorded, step) ? recorded[step] : { approved: true, by: 'user:test' })
        return { id: step }
      }
      if (name === 'capsule.resolve') return standIn((input as CapsuleResolveInput).reference)
      throw new SomaError('internal', `A capsule's test can not answer the activity ${name}.`)
    },
    async child(_workflow, input) {
      return { output: answerFor((input as CapsuleRunInput).parent?.step ?? ''), labels: [] } satisfies CapsuleRunResult
    },
  })
  return context
}

/** The nested capsule is not run, its output is recorded; what stands for it only has its name. */
function standIn(reference: string): CapsuleResolveOutput {
  const [name, version] = reference.split('@')
  const capsule = Capsule.parse({
    apiVersion: 'soma.dev/v1',
    kind: 'Capsule',
    metadata: { name, version, summary: 'Recorded' },
    outputs: { value: null },
    steps: [{ id: 'recorded', value: null }],
  })
  return { capsule, digest: capsuleDigest(capsule) }
}

/** Where the output departs from what is expected. Of objects, only the keys that are expected are looked at. */
function differences(expected: unknown, got: unknown, path: (string | number)[] = []): string[] {
  const place = path.length === 0 ? 'The output' : `"${dotted(path)}"`
  if (Array.isArray(expected)) {
    if (!Array.isArray(got)) return [`${place} must be a list of ${expected.length}, but is ${shown(got)}.`]
    if (got.length !== expected.length) return [`${place} must have ${expected.length} entries, but has ${got.length}.`]
    return expected.flatMap((each, index) => differences(each, got[index], [...path, index]))
  }
  if (expected !== null && typeof expected === 'object') {
    if (got === null || typeof got !== 'object' || Array.isArray(got)) return [`${place} must be a mapping, but is ${shown(got)}.`]
    return Object.entries(expected).flatMap(([key, each]) =>
      differences(each, Object.hasOwn(got, key) ? (got as Record<string, unknown>)[key] : undefined, [...path, key]),
    )
  }
  return isDeepStrictEqual(expected, got) ? [] : [`${place} must be ${shown(expected)}, but is ${shown(got)}.`]
}
