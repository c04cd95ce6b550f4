import { randomBytes } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import type { Decision } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'
import type { AppendRequest, Journal } from '@soma/ports/journal/port'
import type { GateRequest } from './gate-request.ts'

/** Decisions whose append is under way at the most; above it the gate waits for nobody and says no. */
const MOST_UNWRITTEN = 20_000
/** Sets of grants whose digests are remembered. */
const MOST_GRANTS = 10_000
/** Kinds of entries. */
export const DECIDED = 'gate.decided'
export const GRANTS = 'gate.grants'

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
 * A decision is recorded with the facts that it was made from, so that other rules can be asked the same later (impact preview). What the
 * principal held stands once in a stream, under its digest. Arguments are not recorded: they may hold what does not belong in a ledger.
 *
 * Each process has streams of its own, `gate/<day>/<process>`: on a common one they would all the time find that another was first.
 */
export function createDecisionLog(journal: Journal, now: () => Date = () => new Date()): DecisionLog {
  const processName = randomBytes(4).toString('hex')
  const underWay = new Set<Promise<void>>()
  let failed: AppendRequest[] = []
  let failure: unknown
  let retry: Promise<void> | undefined
  const grants = createGrants()

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
    record(request, decision) {
      const at = now().toISOString()
      const { tenant } = request.principal
      const stream = `gate/${at.slice(0, 10)}/${processName}`
      const { digest, isNew, ...held } = grants.of(request.principal, `${tenant} ${stream}`)
      void write({
        tenant,
        stream,
        expectedSeq: 'any',
        entries: [
          ...(isNew ? [{ kind: GRANTS, payload: { grants: digest, ...held }, at }] : []),
          { kind: DECIDED, payload: decidedPayload(request, decision, digest), at },
        ],
      })
    },
    async flush() {
      while (underWay.size > 0) await Promise.all(underWay)
      if (failed.length > 0) await writeFailed()
      if (failed.length > 0) throw unavailable()
    },
  }
}

function decidedPayload({ principal, action, context }: GateRequest, decision: Decision, grants: string) {
  const { id, kind, mfa, mfaAt, onBehalfOf, run } = principal
  const { labels, approvals, at: _, ...where } = context
  const { limits, ...decided } = decision
  return {
    principal: { id, kind, mfa, mfaAt, onBehalfOf, run, grants },
    action: { name: action.name, capability: action.capability, effect: action.effect, resource: action.resource },
    context: { ...where, ...(labels?.length ? { labels } : {}), ...(approvals?.length ? { approvals } : {}) },
    decision: { ...decided, ...(limits?.length ? { limits } : {}) },
  }
}

/** What principals hold, by digest, and where that was written down already. */
function createGrants() {
  const digests = new Map<string, string>()
  const written = new Set<string>()
  return {
    of({ capabilities, within }: Principal, place: string) {
      const held = JSON.stringify([capabilities, within])
      if (digests.size >= MOST_GRANTS) digests.clear()
      const digest = digests.get(held) ?? sha256(held).slice(0, 32)
      digests.set(held, digest)
      const key = `${place} ${digest}`
      const isNew = !written.has(key)
      if (written.size >= MOST_GRANTS) written.clear()
      written.add(key)
      return { digest, isNew, capabilities, within }
    },
  }
}
