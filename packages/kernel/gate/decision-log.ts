import { SomaError } from '@soma/contracts/errors'
import type { Decision } from '@soma/contracts/policy'
import type { Journal } from '@soma/ports/journal/port'
import type { GateRequest } from './gate-request.ts'

/** Decisions whose append is under way at the most; above it the gate waits for nobody and says no. */
const MOST_UNWRITTEN = 20_000

export interface DecisionLog {
  /** @throws `audit_unavailable` when decisions can't be written at present */
  assertWritable(): void
  record(request: GateRequest, decision: Decision): void
  /** Resolves when everything recorded is on disk. */
  flush(): Promise<void>
}

/**
 * Writes decisions to the ledger right after they were made, without making the caller wait for the disk. As soon as an append fails,
 * the gate refuses everything until one succeeds: nothing goes on unrecorded.
 */
export function createDecisionLog(journal: Journal, now: () => Date = () => new Date()): DecisionLog {
  const unwritten = new Set<Promise<void>>()
  let failure: unknown
  let probing = false

  function write(tenant: string, payload: unknown, at: string): Promise<void> {
    const entries = [{ kind: 'gate.decided', payload, at }]
    return journal.append({ tenant, stream: `gate/${at.slice(0, 10)}`, expectedSeq: 'any', entries }).then(
      () => {
        failure = undefined
      },
      (error) => {
        failure = error
      },
    )
  }

  /** One append at a time finds out whether the journal can be written again. */
  function probe(): void {
    if (probing) return
    probing = true
    void write('platform', { probe: true }, now().toISOString()).finally(() => {
      probing = false
    })
  }

  return {
    assertWritable() {
      if (!failure && unwritten.size < MOST_UNWRITTEN) return
      probe()
      throw new SomaError(
        'audit_unavailable',
        'Decisions can not be written to the ledger at present, so nothing is allowed. Free disk space or bring the database back.',
        { retryAfterSeconds: 2 },
        { cause: failure },
      )
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
      const writing = write(principal.tenant, payload, now().toISOString())
      unwritten.add(writing)
      void writing.finally(() => unwritten.delete(writing))
    },
    async flush() {
      while (unwritten.size > 0) await Promise.all(unwritten)
    },
  }
}
