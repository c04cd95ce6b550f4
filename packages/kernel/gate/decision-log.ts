import { randomBytes } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { Decision } from '@soma/contracts/policy'
import type { AppendRequest, Journal } from '@soma/ports/journal/port'
import type { GateRequest } from './gate-request.ts'

/** Decisions whose append is under way at the most; above it the gate waits for nobody and says no. */
const MOST_UNWRITTEN = 20_000

export interface DecisionLog {
  /** @throws `audit_unavailable` when decisions can't be written at present */
  assertWritable(): void
  record(request: GateRequest, decision: Decision): void
  /** Resolves when everything recorded is on disk. @throws `audit_unavailable` when that can't be */
  flush(): Promise<void>
}

/**
 * Writes decisions to the ledger right after they were made, without making the caller wait for the disk. As soon as an append fails,
 * the gate refuses everything until what failed is written after all: nothing goes on unrecorded.
 *
 * Each process has streams of its own, `gate/<day>/<process>`: on a common one they would all the time find that another was first.
 */
export function createDecisionLog(journal: Journal, now: () => Date = () => new Date()): DecisionLog {
  const processName = randomBytes(4).toString('hex')
  const underWay = new Set<Promise<void>>()
  let failed: AppendRequest[] = []
  let failure: unknown
  let retry: Promise<void> | undefined

  function write(request: AppendRequest): Promise<void> {
    const writing = journal.append(request).then(
      () => undefined,
      (error) => {
        failure = error
        failed.push(request)
      },
    )
    underWay.add(writing)
    void writing.finally(() => underWay.delete(writing))
    return writing
  }

  /** Writes what failed once more; whether that works tells whether the journal can be written again. */
  function writeFailed(): Promise<void> {
    if (!retry) {
      const again = failed
      failed = []
      retry = Promise.all(again.map(write)).then(() => {
        retry = undefined
      })
    }
    return retry
  }

  function unavailable(): SomaError {
    return new SomaError(
      'audit_unavailable',
      'Decisions can not be written to the ledger at present, so nothing is allowed. Free disk space or bring the database back.',
      { retryAfterSeconds: 2 },
      { cause: failure },
    )
  }

  return {
    assertWritable() {
      const isBehind = failed.length > 0 || retry !== undefined
      if (isBehind) void writeFailed()
      if (isBehind || underWay.size >= MOST_UNWRITTEN) throw unavailable()
    },
    record({ principal, action, context }, decision) {
      const { id, kind } = principal
      const { labels, approvals, at: _, ...where } = context
      const payload = {
        principal: { id, kind },
        action: { name: action.name, capability: action.capability, effect: action.effect, resource: action.resource },
        context: { ...where, ...(labels?.length ? { labels } : {}), ...(approvals?.length ? { approvals } : {}) },
        decision,
      }
      const at = now().toISOString()
      void write({
        tenant: principal.tenant,
        stream: `gate/${at.slice(0, 10)}/${processName}`,
        expectedSeq: 'any',
        entries: [{ kind: 'gate.decided', payload, at }],
      })
    },
    async flush() {
      while (underWay.size > 0) await Promise.all(underWay)
      if (failed.length > 0) await writeFailed()
      if (failed.length > 0) throw unavailable()
    },
  }
}
