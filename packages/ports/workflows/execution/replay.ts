import { isDeepStrictEqual } from 'node:util'
import type { JournalEntry } from '@soma/contracts/journal'
import type { WorkflowFunction } from '@soma/contracts/workflow'
import type { Departure, ReplayResult } from '../port.ts'
import { ContinueAsNew, Execution, type Host, Nondeterminism } from './execution.ts'
import { asRecorded, isEnd, type RecordedError, recordError, type StartedPayload } from './record.ts'

/** Runs a workflow against its record and touches nothing: what the record lacks stays open. */
export async function replayRecord(options: {
  runId: string
  entries: readonly JournalEntry[]
  workflow: WorkflowFunction
  input?: unknown
}): Promise<ReplayResult & { state: unknown }> {
  const [started, ...rest] = options.entries as [JournalEntry, ...JournalEntry[]]
  const end = rest.find(isEnd)
  const past = rest.filter((entry) => !isEnd(entry))
  let state: unknown
  const host: Host = {
    replayOnly: true,
    begin: () => undefined,
    drop: () => undefined,
    markPatch: () => false,
    publish: (published) => {
      state = published
    },
  }
  const execution = new Execution({ runId: options.runId, tenant: started.tenant, startedAt: started.at, past, host })
  let outcome: { output?: unknown; failure?: unknown } | undefined
  const input = options.input === undefined ? (started.payload as StartedPayload).input : options.input
  void execution.run(options.workflow, input).then(
    (output) => {
      outcome = { output: asRecorded(output) }
    },
    (failure) => {
      outcome = { failure }
    },
  )
  await comeToRest()
  for (const entry of past) {
    if (outcome) break
    execution.deliver(entry)
    await comeToRest()
  }
  return { ...judge(execution, outcome, end), state }
}

const comeToRest = () => new Promise((resolve) => setImmediate(resolve))

function judge(
  execution: Execution,
  outcome: { output?: unknown; failure?: unknown } | undefined,
  end: JournalEntry | undefined,
): ReplayResult {
  const matched = execution.matched
  if (outcome?.failure instanceof Nondeterminism) {
    const { step, label, expected, got } = outcome.failure.details as unknown as Departure
    return { matched, same: false, departure: { step, label, expected, got } }
  }
  if (!outcome) {
    if (!end) return { matched, same: true }
    const open = execution.openCommands[0]
    const got = open ? `${open.kind} ${open.name}` : 'waiting for a signal'
    return {
      matched,
      same: false,
      departure: { step: open?.step ?? matched + 1, label: open?.label, expected: `the end (${end.kind})`, got },
    }
  }
  const recorded = (end?.payload ?? {}) as { output?: unknown; error?: RecordedError }
  if (outcome.failure instanceof ContinueAsNew) return { matched, same: end?.kind === 'run.continued' }
  if (outcome.failure !== undefined) {
    const error = recordError(outcome.failure)
    return { matched, error, same: recorded.error?.code === error.code && recorded.error.message === error.message }
  }
  return { matched, output: outcome.output, same: end?.kind === 'run.completed' && isDeepStrictEqual(outcome.output, recorded.output) }
}
