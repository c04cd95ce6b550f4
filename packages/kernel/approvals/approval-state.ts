import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { KnownPeople } from '../auth/people.ts'
import { type Approval, type ApprovalStatus, type ApprovalWord, DELIVERABLE_START } from './approval.ts'

/** Where the same was asked before, and how often. */
export interface Place {
  /** Digest of who asks for what and where. */
  place: string
  nth: number
}

/** What of an approval every entry about it repeats, for those who read the ledger entry by entry. */
export type Mentioned = Pick<Approval, 'action' | 'digest' | 'run' | 'project' | 'deliverable'>

export function mention({ action, digest, run, project, deliverable }: Approval): Mentioned {
  return { action, digest, run, project, deliverable }
}

/**
 * Everything that happens to an approval is an entry of its stream, `approval/<id>`. The stream takes one entry at a time, so of those
 * who decide at once one is first, and the others see what that one did.
 */
export type ApprovalEvent =
  | { kind: 'approval.requested'; payload: Approval & Place }
  /** One more person approves; further ones must. */
  | { kind: 'approval.supported'; payload: Mentioned & { word: ApprovalWord } }
  /** The last one that it needed approves. It must be used until `expiresAt`. */
  | { kind: 'approval.approved'; payload: Mentioned & { word: ApprovalWord; expiresAt: string } }
  | { kind: 'approval.rejected'; payload: Mentioned & { word: ApprovalWord } }
  | { kind: 'approval.expired'; payload: Mentioned }
  /** Written together with the intent of the action that it is used for. */
  | { kind: 'approval.used'; payload: Mentioned & { key: string } }

export interface RecordedApproval {
  approval: Approval
  asked: Place
  /** Entries that it follows from. */
  seq: number
}

/** The approval as its entries leave it; undefined when there are none, or when what was asked was redacted. */
export function approvalOf(entries: readonly JournalEntry[]): RecordedApproval | undefined {
  const [first, ...rest] = entries
  if (first?.kind !== 'approval.requested' || !first.payload) return undefined
  const { place, nth, ...requested } = first.payload as Approval & Place
  return { approval: rest.reduce(after, requested), asked: { place, nth }, seq: entries.length }
}

function after(approval: Approval, { kind, at, payload }: JournalEntry): Approval {
  // What was redacted is known by its kind alone.
  const event = { kind, payload: payload ?? {} } as ApprovalEvent
  switch (event.kind) {
    case 'approval.supported':
      return heard(approval, event.payload.word)
    case 'approval.approved':
      return { ...settled(approval, 'approved', event.payload.word), expiresAt: event.payload.expiresAt ?? approval.expiresAt }
    case 'approval.rejected':
      return settled(approval, 'rejected', event.payload.word)
    case 'approval.expired':
      return { ...approval, status: 'expired', decidedAt: at }
    case 'approval.used':
      return { ...approval, usedAt: at, usedFor: event.payload.key ?? '' }
    default:
      return approval
  }
}

function heard(approval: Approval, word: ApprovalWord | undefined): Approval {
  return word ? { ...approval, words: [...approval.words, word] } : approval
}

function settled(approval: Approval, status: ApprovalStatus, word: ApprovalWord | undefined): Approval {
  return { ...heard(approval, word), status, ...(word ? { decidedAt: word.at, decidedBy: word.by } : {}) }
}

/** True when the time is over and nothing was recorded of that yet. */
export function isOverdue({ status, usedAt, expiresAt }: Approval, now: Date): boolean {
  const isOpen = status === 'pending' || (status === 'approved' && usedAt === undefined)
  return isOpen && now.getTime() >= Date.parse(expiresAt)
}

export interface Answering {
  behind: KnownPeople['behind']
  /** How long an approval that is given may wait for its use. */
  holdsForSeconds: number
}

/**
 * What a person's word makes of an approval that is not overdue; undefined when it changes nothing, because it was said before.
 * @throws `conflict` when it was settled another way
 */
export function eventAfter(approval: Approval, word: ApprovalWord, { behind, holdsForSeconds }: Answering): ApprovalEvent | undefined {
  const { id, status, words, terms } = approval
  if (status !== 'pending') {
    if (status === (word.approve ? 'approved' : 'rejected')) return undefined
    throw new SomaError('conflict', alreadySettled(approval), { id, status })
  }
  const mentioned = mention(approval)
  if (!word.approve) return { kind: 'approval.rejected', payload: { ...mentioned, word } }
  const speakers = new Set(words.flatMap((earlier) => speakersOf(earlier, behind)))
  if (speakersOf(word, behind).some((person) => speakers.has(person))) return undefined
  if (words.length + 1 < terms.by) return { kind: 'approval.supported', payload: { ...mentioned, word } }
  const expiresAt = new Date(Date.parse(word.at) + holdsForSeconds * 1000).toISOString()
  return { kind: 'approval.approved', payload: { ...mentioned, word, expiresAt } }
}

/** A word that was said for somebody else is theirs and one's own: neither of the two has another. */
function speakersOf({ by, onBehalfOf }: ApprovalWord, behind: KnownPeople['behind']): string[] {
  return [by, ...(onBehalfOf === undefined ? [] : [onBehalfOf])].map((id) => behind(id))
}

function alreadySettled({ id, status, decidedBy, expiresAt }: Approval): string {
  if (status === 'expired') return `Approval ${id} expired at ${expiresAt}. Whoever needs it has to ask again.`
  return `Approval ${id} was ${status} by ${decidedBy} already.`
}

/** What an approval could be used for. */
export interface Use {
  digest: string
  /** Key of the action. */
  key: string
  requestedBy: string
  run?: string
  project?: string
  deliverable?: string
}

/**
 * True when the approval was given for exactly this and is still free for it. That of a deliverable, once the deliverable was begun with
 * it, also covers what the deliverable does.
 */
export function standsFor(approval: Approval, use: Use, now: Date): boolean {
  if (approval.status !== 'approved' || isOverdue(approval, now)) return false
  if (approval.action === DELIVERABLE_START && approval.usedFor !== undefined && approval.usedFor !== use.key)
    return use.project === approval.project && use.deliverable !== undefined && use.deliverable === approval.deliverable
  return (
    approval.digest === use.digest &&
    approval.requestedBy === use.requestedBy &&
    approval.run === use.run &&
    (approval.usedFor === undefined || approval.usedFor === use.key)
  )
}
