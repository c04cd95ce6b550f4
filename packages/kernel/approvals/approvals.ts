import { type ApprovalTerms, meets } from '@soma/contracts/approval-terms'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import type { Reason } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'
import type { Broadcast } from '@soma/ports/broadcast/port'
import { appendOnce } from '@soma/ports/journal/append-once'
import type { AppendRequest, Journal } from '@soma/ports/journal/port'
import type { Sql } from '@soma/ports/sql/port'
import type { KnownPeople, People } from '../auth/people.ts'
import { type ActionToApprove, type Approval, type ApprovalWord, approvalDigest } from './approval.ts'
import { APPROVAL_MIGRATIONS, type ApprovalQuery, createApprovalRows } from './approval-rows.ts'
import {
  type ApprovalEvent,
  approvalOf,
  eventAfter,
  isOverdue,
  mention,
  type Place,
  type RecordedApproval,
  standsFor,
} from './approval-state.ts'
import { createDelegations, type Delegations } from './delegations.ts'
import { type ApprovalChange, type ChangesPage, followApprovals, readChanges } from './follow-approvals.ts'
import { voiceOf } from './voice.ts'

export interface ApprovalRequest {
  /** Who asks. */
  principal: Principal
  /** As it is, which the approval is bound to. */
  action: ActionToApprove
  /** The arguments as they may be shown and recorded, when that is not all of them. */
  shownArguments?: unknown
  summary: string
  reasons: readonly Reason[]
  terms: ApprovalTerms
  /** The run that waits. */
  run?: string
  /** What asks: a run's step, the key of a call. The same that is asked again there is the same approval, until it was used. */
  place: string
  /** Key of the action that it is for. */
  key: string
  project?: string
  deliverable?: string
  labels?: readonly string[]
  reversedBy?: string
  /** Ids of approvals that the caller was told are given. */
  given?: readonly string[]
}

export interface ApprovalAnswerRequest {
  tenant: string
  id: string
  approve: boolean
  by: Principal
  /** Needed to reject, and to approve where the terms say so. */
  reason?: string
  /** Who delegated to `by`, when it is for them; without it one's own right counts first. */
  onBehalfOf?: string
}

/** An approval with what uses it up. */
export interface AskedApproval {
  approval: Approval
  /**
   * To be appended together with the action's intent, so that the approval is used exactly when the action begins. The append is refused
   * with `stream_conflict` when another action was faster. Empty when the action used it before, and when it is not approved.
   */
  use: readonly AppendRequest[]
}

export interface Approvals {
  /**
   * The approval that stands for the action: one that was given for exactly this, or the one that is asked for now or was asked for here
   * before, whatever its status.
   */
  ask(request: ApprovalRequest): Promise<AskedApproval>
  /**
   * A person's word. Of several at once exactly one settles it.
   * @throws `not_found`; `forbidden` when the word of this person does not count; `invalid_input` for a reason that is missing; `conflict`
   *   when it was settled another way before, or has expired
   */
  answer(request: ApprovalAnswerRequest): Promise<Approval>
  get(tenant: string, id: string): Promise<Approval | undefined>
  list(tenant: string, query?: ApprovalQuery): Promise<Approval[]>
  /** Ends those that nobody settled in time, of all tenants. */
  expireOverdue(now?: Date): Promise<void>
  /** What happened after a position, oldest first; from now on when none is given. */
  changes(tenant: string, after?: string): Promise<ChangesPage>
  /** Calls the handler with everything that happens to approvals of any tenant, in order, at least once, also across restarts. Returns how to stop. */
  follow(name: string, handle: (change: ApprovalChange) => Promise<void>): () => Promise<void>
  /** Calls back when something may have happened to an approval, in whatever process; a hint to look, not a delivery. Returns how to stop. */
  onChange(listener: () => void): () => void
  delegations: Delegations
  close(): Promise<void>
}

export interface ApprovalParts {
  sql: Sql
  journal: Journal
  broadcast: Broadcast
  people: People
  /** How long an answer is waited for when no rule says. */
  expiresAfterSeconds: number
}

const OVERDUE_AT_ONCE = 100
const CHANNEL = 'approvals'

export async function openApprovals({ sql, journal, broadcast, people, expiresAfterSeconds }: ApprovalParts): Promise<Approvals> {
  await sql.migrate('approvals', APPROVAL_MIGRATIONS)
  const rows = createApprovalRows(sql)
  const standIns = createDelegations(journal)
  const streamOf = (id: string) => `approval/${id}`
  const listeners = new Set<() => void>()
  const wake = () => {
    for (const listener of listeners) listener()
  }
  const stopHearing = await broadcast.subscribe(CHANNEL, wake, wake)
  const announce = (tenant: string) => void broadcast.publish(CHANNEL, { tenant }).catch(() => undefined)
  const patience = (terms: ApprovalTerms) => terms.expiresAfterSeconds ?? expiresAfterSeconds

  async function read(tenant: string, id: string): Promise<RecordedApproval | undefined> {
    return approvalOf(await journal.read(tenant, streamOf(id)))
  }

  /** The ledger first: what happened counts when it is recorded. False when something else happened meanwhile. */
  async function record(tenant: string, { approval, seq }: RecordedApproval, event: ApprovalEvent): Promise<boolean> {
    try {
      await journal.append({ tenant, stream: streamOf(approval.id), expectedSeq: seq, entries: [event] })
      announce(tenant)
      return true
    } catch (error) {
      if (SomaError.is(error, 'stream_conflict')) return false
      throw error
    }
  }

  /** The approval as it is when its time is taken into account, with its row in step. */
  async function current(tenant: string, id: string, now: Date): Promise<RecordedApproval | undefined> {
    for (;;) {
      const recorded = await read(tenant, id)
      if (!recorded || !isOverdue(recorded.approval, now)) {
        if (recorded) await rows.put(tenant, recorded)
        return recorded
      }
      await record(tenant, recorded, { kind: 'approval.expired', payload: mention(recorded.approval) })
    }
  }

  async function request(asked: ApprovalRequest, digest: string, place: Place, id: string): Promise<Approval> {
    const { principal, action, summary, reasons, terms, run, project, deliverable, labels = [], reversedBy } = asked
    const now = Date.now()
    const approval: Approval = {
      id,
      action: action.name,
      effect: action.effect,
      resource: action.resource,
      summary,
      arguments: ('shownArguments' in asked ? asked.shownArguments : action.arguments) ?? null,
      reversedBy,
      labels: [...labels],
      digest,
      reasons: [...reasons],
      terms,
      requestedBy: principal.id,
      onBehalfOf: principal.onBehalfOf,
      run,
      project,
      deliverable,
      status: 'pending',
      requestedAt: new Date(now).toISOString(),
      expiresAt: new Date(now + patience(terms) * 1000).toISOString(),
      words: [],
    }
    const { tenant } = principal
    const event: ApprovalEvent = { kind: 'approval.requested', payload: { ...approval, ...place } }
    // Should another have asked for the same at this moment, it is theirs that stands.
    const entry = await appendOnce(journal, { tenant, stream: streamOf(id), expectedSeq: 0, entries: [event] })
    const recorded = approvalOf([entry])
    announce(tenant)
    if (recorded) await rows.put(tenant, recorded)
    return recorded?.approval ?? approval
  }

  /** What a person's word on the approval is, if it counts. */
  async function wordOf(answer: ApprovalAnswerRequest, approval: Approval, known: KnownPeople): Promise<ApprovalWord> {
    const { tenant, approve, by, reason, onBehalfOf } = answer
    const now = new Date()
    const said = { approve, ...(reason ? { reason } : {}), at: now.toISOString() }
    // What is settled needs nobody's right to be said again.
    if (approval.status !== 'pending') return { by: by.id, ...said }
    const delegations = await standIns.heldBy(tenant, [by.id, known.behind(by.id)], now)
    return { ...voiceOf({ approval, by, approve, onBehalfOf, delegations, known }), ...said }
  }

  function useOf(tenant: string, { approval, seq }: RecordedApproval, key: string): AskedApproval {
    if (approval.status !== 'approved' || approval.usedFor !== undefined) return { approval, use: [] }
    const event: ApprovalEvent = { kind: 'approval.used', payload: { ...mention(approval), key } }
    return { approval, use: [{ tenant, stream: streamOf(approval.id), expectedSeq: seq, entries: [event] }] }
  }

  function onChange(listener: () => void): () => void {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  return {
    delegations: standIns,

    async ask(asked) {
      const { principal, action, run, key, project, deliverable, terms, given = [] } = asked
      const { tenant, id: requestedBy } = principal
      const digest = approvalDigest(action)
      const use = { digest, key, requestedBy, run, project, deliverable }
      for (const id of given) {
        const recorded = await read(tenant, id)
        if (recorded && meets(recorded.approval.terms, terms) && standsFor(recorded.approval, use, new Date()))
          return useOf(tenant, recorded, key)
      }
      const place = sha256([tenant, requestedBy, run ?? '', asked.place, digest].join('\n'))
      for (let nth = Math.max(1, await rows.lastAt(tenant, place)); ; nth++) {
        const id = sha256(`${place}\n${nth}`).slice(0, 32)
        const known = await current(tenant, id, new Date())
        if (!known) return { approval: await request(asked, digest, { place, nth }, id), use: [] }
        if (isAnswerTo(known.approval, asked)) return useOf(tenant, known, key)
      }
    },

    async answer(answer) {
      const { tenant, id, approve, reason } = answer
      for (;;) {
        const now = new Date()
        const recorded = await current(tenant, id, now)
        if (!recorded) throw new SomaError('not_found', `There is no approval ${id}.`, { id })
        const { approval } = recorded
        const known = await people.in(tenant)
        const word = await wordOf(answer, approval, known)
        assertReason(approval, approve, reason)
        const event = eventAfter(approval, word, { behind: known.behind, holdsForSeconds: patience(approval.terms) })
        if (!event) return approval
        if (await record(tenant, recorded, event)) return (await current(tenant, id, now))?.approval ?? approval
      }
    },

    async get(tenant, id) {
      return (await current(tenant, id, new Date()))?.approval
    },

    list: (tenant, query = {}) => rows.list(tenant, query),

    async expireOverdue(now = new Date()) {
      for (const { tenant, id } of await rows.overdue(now, OVERDUE_AT_ONCE)) await current(tenant, id, now)
    },

    async changes(tenant, after) {
      if (after === undefined) return { changes: [], end: await journal.lastPosition(), isLast: true }
      return readChanges(journal, { tenant, after })
    },

    follow: (name, handle) => followApprovals({ sql, journal, rows, hear: onChange }, name, handle),
    onChange,
    close: stopHearing,
  }
}

/** Asking again is answered by what was asked before, unless that is over, was used for something else, or took less than is asked for now. */
function isAnswerTo({ status, usedFor, expiresAt, terms }: Approval, asked: ApprovalRequest): boolean {
  if (status === 'expired' || (status === 'rejected' && Date.parse(expiresAt) <= Date.now())) return false
  return (usedFor === undefined || usedFor === asked.key) && meets(terms, asked.terms)
}

function assertReason({ id, terms }: Approval, approve: boolean, reason: string | undefined): void {
  if (reason?.trim() || (approve && !terms.reasonRequired)) return
  throw new SomaError('invalid_input', `Say why approval ${id} is ${approve ? 'given' : 'rejected'}; whoever asked is told.`, {
    id,
    missing: 'reason',
  })
}
