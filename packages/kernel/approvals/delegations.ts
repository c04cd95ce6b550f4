import { randomUUID } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import { holds, type Principal } from '@soma/contracts/tenant'
import type { Journal } from '@soma/ports/journal/port'
import { z } from 'zod'

/** What whoever decides must hold. */
export const APPROVAL_DECIDE = 'approval.decide'
/** Lets one end what others delegated. */
export const APPROVAL_ADMIN = 'approval.admin'

/** The longest that somebody can delegate for: a longer absence is a matter for roles. */
const LONGEST_DAYS = 90
const STREAM = 'approval-delegations'

export const Delegation = z.object({
  id: z.string(),
  from: z.string(),
  to: z.string(),
  reason: z.string(),
  startsAt: z.string(),
  endsAt: z.string(),
  /** As the delegator had them then: the delegate never gets more, also not what the delegator is given later. */
  capabilities: z.array(z.string()),
  within: z.array(z.array(z.string())),
  givenAt: z.string(),
  endedBy: z.string().optional().describe('Who ended it before its time'),
})
export type Delegation = z.infer<typeof Delegation>

export interface Delegations {
  /**
   * Lets `to` answer approvals as `from` could, for a time.
   * @throws `forbidden` for an agent and for who can't decide anything; `invalid_input` for a time that does not hold; `conflict` when one
   *   of the two takes part in another delegation meanwhile, so that there are no chains and no circles
   */
  give(request: { from: Principal; to: string; startsAt: Date; endsAt: Date; reason: string }): Promise<Delegation>
  /** Ends it at once. @throws `not_found`, also to who neither takes part in it nor holds `approval.admin` */
  end(request: { by: Principal; id: string }): Promise<Delegation>
  /** Those in force now or later. */
  list(tenant: string, now?: Date): Promise<Delegation[]>
  /** Those in force now that let somebody, known by these ids, decide for somebody else. */
  heldBy(tenant: string, ids: readonly string[], now: Date): Promise<Delegation[]>
}

/** A tenant's delegations are one stream of the journal, so two that contradict each other can't both be written. */
export function createDelegations(journal: Journal): Delegations {
  async function read(tenant: string): Promise<{ all: Delegation[]; seq: number }> {
    const entries = await journal.read(tenant, STREAM)
    return { all: delegationsOf(entries), seq: entries.length }
  }

  /** Appends what `next` makes of the delegations there are, again when another was faster. */
  async function change(tenant: string, next: (all: Delegation[]) => { kind: string; payload: Delegation }): Promise<Delegation> {
    for (;;) {
      const { all, seq } = await read(tenant)
      const entry = next(all)
      try {
        await journal.append({ tenant, stream: STREAM, expectedSeq: seq, entries: [entry] })
        return entry.payload
      } catch (error) {
        if (!SomaError.is(error, 'stream_conflict')) throw error
      }
    }
  }

  const isOpen = ({ endsAt, endedBy }: Delegation, now: Date) => endedBy === undefined && Date.parse(endsAt) > now.getTime()

  return {
    async give({ from, to, startsAt, endsAt, reason }) {
      const { id, tenant, capabilities, within } = from
      assertMayGive(from, to)
      assertTime(startsAt, endsAt)
      const given: Delegation = {
        id: randomUUID(),
        from: id,
        to,
        reason,
        startsAt: startsAt.toISOString(),
        endsAt: endsAt.toISOString(),
        capabilities,
        within,
        givenAt: new Date().toISOString(),
      }
      return change(tenant, (all) => {
        const other = all.find((each) => isOpen(each, new Date()) && overlaps(each, given) && contradicts(each, given))
        if (other) throw new SomaError('conflict', whyNot(other, given), { delegation: other.id })
        return { kind: 'delegation.given', payload: given }
      })
    },
    end: ({ by, id }) =>
      change(by.tenant, (all) => {
        const found = all.find((each) => each.id === id && isOpen(each, new Date()))
        const isTheirs = found && ([found.from, found.to].includes(by.id) || holds(by, APPROVAL_ADMIN))
        if (!isTheirs) throw new SomaError('not_found', `There is no delegation ${id} that is yours to end.`, { id })
        return { kind: 'delegation.ended', payload: { ...found, endedBy: by.id } }
      }),
    async list(tenant, now = new Date()) {
      return (await read(tenant)).all.filter((each) => isOpen(each, now))
    },
    async heldBy(tenant, ids, now) {
      const { all } = await read(tenant)
      return all.filter((each) => ids.includes(each.to) && isOpen(each, now) && Date.parse(each.startsAt) <= now.getTime())
    },
  }
}

function delegationsOf(entries: readonly JournalEntry[]): Delegation[] {
  const all = new Map<string, Delegation>()
  for (const { payload } of entries) {
    const delegation = payload as Delegation | undefined
    if (delegation) all.set(delegation.id, delegation)
  }
  return [...all.values()]
}

function assertMayGive(from: Principal, to: string): void {
  if (from.kind === 'agent') throw new SomaError('forbidden', 'An agent has no approvals to delegate.')
  if (!holds(from, APPROVAL_DECIDE))
    throw new SomaError('forbidden', `${from.id} does not hold ${APPROVAL_DECIDE}, so there is nothing to delegate.`, {
      capability: APPROVAL_DECIDE,
    })
  if (to === from.id) throw new SomaError('invalid_input', 'Name somebody else to delegate to.')
  if (!/^(user|key):/.test(to))
    throw new SomaError('invalid_input', `"${to}" is nobody who can approve. Name a person as the ledger does: user:… or key:….`, { to })
}

function assertTime(startsAt: Date, endsAt: Date): void {
  if (endsAt.getTime() <= Math.max(startsAt.getTime(), Date.now()))
    throw new SomaError('invalid_input', 'The delegation must end after it begins, and after now.')
  if (endsAt.getTime() - startsAt.getTime() > LONGEST_DAYS * 86_400_000)
    throw new SomaError('invalid_input', `Approvals can be delegated for ${LONGEST_DAYS} days at the most.`, { days: LONGEST_DAYS })
}

function overlaps(one: Delegation, other: Delegation): boolean {
  return one.startsAt < other.endsAt && other.startsAt < one.endsAt
}

/** Who delegates is away, and so is nobody's delegate; a delegate passes nothing on; and one has one delegate. */
function contradicts(existing: Delegation, wanted: Delegation): boolean {
  return existing.from === wanted.from || existing.from === wanted.to || existing.to === wanted.from
}

function whyNot(existing: Delegation, wanted: Delegation): string {
  const until = `until ${existing.endsAt}`
  if (existing.from === wanted.from) return `${existing.from} delegated to ${existing.to} ${until} already. End that first.`
  if (existing.from === wanted.to) return `${existing.from} delegated to ${existing.to} ${until}, and so can't stand in for anybody else.`
  return `${existing.to} stands in for ${existing.from} ${until}, and what was delegated can't be passed on.`
}
