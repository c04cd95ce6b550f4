import type { JournalEntry } from '@soma/contracts/journal'
import { readPage } from '@soma/ports/events/journal-page'
import { pause } from '@soma/ports/events/pause'
import { EVERY_TENANT, type Journal } from '@soma/ports/journal/port'
import type { Sql } from '@soma/ports/sql/port'
import type { Approval } from './approval.ts'
import type { createApprovalRows } from './approval-rows.ts'
import { type ApprovalEvent, approvalOf } from './approval-state.ts'

/** Streams of approvals. */
export const APPROVAL_STREAMS = 'approval/'

/** Entries read at a time. */
const PAGE = 100
/** Milliseconds between looks when nobody said that something happened. */
const LOOK_EVERY = 5000
/** Milliseconds before a failed look is tried again. */
const RETRY_AFTER = 1000
/** Entries about other things that are passed by before that is written down. */
const WORTH_NOTING = 10_000n

/** Something that happened to an approval. */
export interface ApprovalChange {
  tenant: string
  /** Of the entry in the journal. */
  position: string
  kind: ApprovalEvent['kind']
  at: string
  /** As it was after that. */
  approval: Approval
}

export interface FollowParts {
  sql: Sql
  journal: Journal
  rows: ReturnType<typeof createApprovalRows>
  /** Calls back whenever something may have happened. Returns how to stop. */
  hear(listener: () => void): () => void
}

export interface ChangesPage {
  changes: ApprovalChange[]
  /** Where to read on. */
  end: string
  /** False when there is more already. */
  isLast: boolean
}

/** What happened to a tenant's approvals after a position, oldest first. */
export async function readChanges(journal: Journal, query: { tenant: string; after: string }): Promise<ChangesPage> {
  const page = await readPage(journal, { ...query, streamPrefix: APPROVAL_STREAMS, limit: PAGE })
  const changes = await Promise.all(page.entries.map((entry) => changeOf(journal, entry)))
  return { changes: changes.filter((change) => change !== undefined), end: page.end, isLast: page.isLast }
}

/** The change that an entry was; undefined for one of which no more is known, as it was redacted. */
async function changeOf(journal: Journal, entry: JournalEntry): Promise<ApprovalChange | undefined> {
  const { tenant, stream, seq, position, kind, at } = entry
  const recorded = approvalOf(await journal.read(tenant, stream, { limit: seq }))
  return recorded && { tenant, position, kind: kind as ApprovalEvent['kind'], at, approval: recorded.approval }
}

/**
 * Gives every change to the handler, from where the follower of that name was. A change whose handling fails comes again before any
 * other does. On the way, rows that a crash left behind the journal are brought into step.
 */
export function followApprovals(parts: FollowParts, name: string, handle: (change: ApprovalChange) => Promise<void>): () => Promise<void> {
  const { sql, journal, rows } = parts
  const stopping = new AbortController()
  let hint = new AbortController()
  const stopHearing = parts.hear(() => hint.abort())
  let position: string | undefined
  let noted = 0n

  async function begin(): Promise<string> {
    const { rows: found } = await sql.platform.query(
      `insert into approvals.followers as known (name, position) values ($1, $2)
       on conflict (name) do update set position = known.position returning position`,
      [name, await journal.lastPosition()],
    )
    noted = BigInt(found[0].position)
    return found[0].position
  }

  async function note(place: string): Promise<void> {
    await sql.platform.query('update approvals.followers set position = greatest(position, $2) where name = $1', [name, place])
    noted = BigInt(place)
  }

  async function look(after: string): Promise<{ position: string; isLast: boolean }> {
    const page = await readPage(journal, { tenant: EVERY_TENANT, after, streamPrefix: APPROVAL_STREAMS, limit: PAGE })
    for (const entry of page.entries) {
      if (stopping.signal.aborted) return { position: after, isLast: true }
      const recorded = approvalOf(await journal.read(entry.tenant, entry.stream))
      if (recorded) await rows.put(entry.tenant, recorded)
      const change = await changeOf(journal, entry)
      if (change) await handle(change)
      await note(entry.position)
      after = entry.position
      position = after
    }
    if (BigInt(page.end) - noted > WORTH_NOTING) await note(page.end)
    return { position: page.end, isLast: page.isLast }
  }

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      hint = new AbortController()
      try {
        const looked = await look(position ?? (await begin()))
        position = looked.position
        if (looked.isLast) await pause(LOOK_EVERY, AbortSignal.any([hint.signal, stopping.signal]))
      } catch (error) {
        if (stopping.signal.aborted) return
        process.emitWarning(`${name} follows approvals again in a second: ${error instanceof Error ? error.message : error}`)
        await pause(RETRY_AFTER, stopping.signal)
      }
    }
  }

  const done = work()
  return async () => {
    stopHearing()
    stopping.abort()
    await done
  }
}
