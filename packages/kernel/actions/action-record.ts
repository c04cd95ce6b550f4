import type { BudgetAmount } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { Decision } from '@soma/contracts/policy'
import { redactFields } from '@soma/contracts/redact-fields'
import type { AppendRequest, Journal } from '@soma/ports/journal/port'
import canonicalize from 'canonicalize'

/**
 * The record of one action, a stream of its own: `action/<key>`. Its first entry claims the key, so two callers can't both act.
 *
 * | kind | meaning |
 * | --- | --- |
 * | `action.intended` | about to change the world |
 * | `action.completed` | done, with its output; nothing follows |
 * | `action.failed` | an attempt ended with an error; another may follow |
 * | `action.refused` | the gate or the budget said no; another may follow, after an approval or with more budget |
 * | `action.held` | a kill switch stopped it; it goes on when that is lifted |
 * | `action.interrupted` | a kill switch ended the call under way; whether it happened is settled when that is lifted |
 */
export interface ActionRecord {
  /** What happened before, if anything. */
  readonly last: JournalEntry | undefined
  /** The last intent, when it was neither confirmed nor is known not to have happened. */
  readonly undecided: JournalEntry | undefined
  /** @param together appended with it, all or nothing */
  append(kind: ActionEntryKind, payload: unknown, together?: readonly AppendRequest[]): Promise<void>
}

export type ActionEntryKind =
  | 'action.intended'
  | 'action.completed'
  | 'action.failed'
  | 'action.refused'
  | 'action.held'
  | 'action.interrupted'

export interface CompletedPayload {
  operation: string
  /** Without the fields that a rule lets nobody see, which `redacted` names. */
  input: unknown
  redacted?: readonly string[]
  output: unknown
  labels: string[]
  decision: Decision
  spent: BudgetAmount
  milliseconds: number
  /** True when nothing was done: the output is what would have been. */
  dryRun?: true
  /** Labels that the output would carry if a rule had not taken them away. */
  declassified?: string[]
  /** True when a look at the world, not our own call, told that it had happened. */
  found?: boolean
  /** The kill switch that was pulled while the call was under way and could not end it. */
  afterKillSwitch?: string
}

/** Opens the record of a key. A new one is not looked up: the first append is refused if there is one already. */
export async function openActionRecord(journal: Journal, tenant: string, key: string, mayExist: boolean): Promise<ActionRecord> {
  const stream = `action/${key}`
  const entries = mayExist ? await journal.read(tenant, stream) : []
  let seq = entries.length
  return {
    last: entries.at(-1),
    undecided: undecidedIntent(entries),
    async append(kind, payload, together = []) {
      await journal.append({ tenant, stream, expectedSeq: seq, entries: [{ kind, payload }] }, ...together)
      seq++
    },
  }
}

const ATTEMPT_ENDS: ReadonlySet<string> = new Set<ActionEntryKind>(['action.failed', 'action.interrupted'])

/** An attempt that ended, and says that nothing happened, decides the intent before it; any other leaves it open. */
function undecidedIntent(entries: readonly JournalEntry[]): JournalEntry | undefined {
  const place = entries.findLastIndex((entry) => entry.kind === 'action.intended')
  const isDecided = entries
    .slice(place + 1)
    .some(({ kind, payload }) => ATTEMPT_ENDS.has(kind) && (payload as { happened?: boolean }).happened === false)
  return isDecided ? undefined : entries[place]
}

export interface RecordedCall {
  operation: string
  input?: unknown
  /** Fields that are not in the recorded input, so that nobody can compare them. */
  redacted?: readonly string[]
}

/**
 * One key is one action: the same operation with the same input. Another is a workflow that changed under its run, or a caller's mistake.
 * @throws `conflict`
 */
export function assertSameAction(recorded: RecordedCall, asked: RecordedCall): void {
  if (recorded.operation !== asked.operation) {
    throw new SomaError('conflict', `The key belongs to ${recorded.operation} already; it can't be used for ${asked.operation}.`, {
      recorded: recorded.operation,
      operation: asked.operation,
    })
  }
  if (recorded.input !== undefined && canonicalize(recorded.input) !== canonicalize(redactFields(asked.input, recorded.redacted ?? []))) {
    throw new SomaError('conflict', `The key belongs to a call of ${asked.operation} with another input already. Use another key.`, {
      operation: asked.operation,
    })
  }
}
