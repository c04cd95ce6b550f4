import { randomBytes } from 'node:crypto'
import type { JournalEntry } from '@soma/contracts/journal'
import type { Analytics } from '@soma/ports/analytics/port'
import { EVERY_TENANT, type Journal } from '@soma/ports/journal/port'
import type { Sql } from '@soma/ports/sql/port'
import { CREATE_FACTS, FACT_KINDS, FACTS_VERSION, type Fact, factsOf } from './facts.ts'

/** Entries read at a time; each may hold a large payload. */
const BATCH = 500

/** The journal as a table of facts. */
export interface Projection {
  /**
   * Takes the next entries in.
   * @returns false when there are none
   * @throws what the analytics store or the database throw; the next call goes on where this one was
   */
  advance(): Promise<boolean>
  /** Drops what is there; the next advances build it anew. Until they are through, figures lack what is not there yet. */
  rebuild(): Promise<void>
}

interface Progress {
  generation: string
  position: string
  through: string | null
  counted: string
}

interface Parts {
  sql: Sql
  journal: Journal
  analytics: Analytics
  /** Gets facts that were never seen before, also not before a rebuild; what it returns is called once they are taken in. */
  observe(facts: readonly Fact[]): Promise<() => void>
}

export function tableOf(generation: string): string {
  return `facts_${generation}`
}

/**
 * A batch ends where PostgreSQL says, and that is said before its first row is written: whoever writes it again, after a crash or in
 * another process, writes the same rows, and they replace each other. A new build has a table of its own, so what a slow writer still
 * puts into the old one is never seen.
 */
export function createProjection({ sql, journal, analytics, observe }: Parts): Projection {
  let turn: Promise<unknown> = Promise.resolve()
  let knownToBeThere = ''

  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = turn.then(work, work)
    turn = result
    return result
  }

  async function advance(): Promise<boolean> {
    const progress = await withTable(await readProgress())
    const batch = await claim(progress)
    if (batch === 'nothing') return false
    if (batch === 'taken') return true
    const { entries, through } = batch
    const facts = factsOf(entries)
    await analytics.insert(tableOf(progress.generation), facts)
    const note = await observe(facts.filter((fact) => BigInt(fact.position) > BigInt(progress.counted)))
    if (await commit(progress, through)) note()
    return true
  }

  /** Fixes the end of the next batch, unless somebody did already. */
  async function claim(progress: Progress): Promise<{ entries: JournalEntry[]; through: string } | 'nothing' | 'taken'> {
    const { generation, position } = progress
    if (progress.through !== null) return { entries: await readThrough(position, progress.through), through: progress.through }
    const settled = await journal.lastPosition()
    const entries = await readPage(position)
    const through = entries.length < BATCH ? later(settled, entries.at(-1)?.position ?? '0') : (entries.at(-1) as JournalEntry).position
    if (BigInt(through) <= BigInt(position)) return 'nothing'
    const { rowCount } = await sql.platform.query(
      'update analytics.progress set through = $3 where generation = $1 and position = $2 and through is null',
      [generation, position, through],
    )
    return rowCount === 1 ? { entries, through } : 'taken'
  }

  /** @returns whether it was us */
  async function commit({ generation, position }: Progress, through: string): Promise<boolean> {
    const { rowCount } = await sql.platform.query(
      `update analytics.progress set position = through, counted = greatest(counted, through), through = null
       where generation = $1 and position = $2 and through = $3`,
      [generation, position, through],
    )
    return rowCount === 1
  }

  function readPage(after: string): Promise<JournalEntry[]> {
    return journal.tail({ tenant: EVERY_TENANT, after, kinds: FACT_KINDS, limit: BATCH })
  }

  async function readThrough(after: string, through: string): Promise<JournalEntry[]> {
    const entries: JournalEntry[] = []
    for (let from = after; ; ) {
      const page = await readPage(from)
      entries.push(...page.filter((entry) => BigInt(entry.position) <= BigInt(through)))
      const last = page.at(-1)?.position
      if (last === undefined || page.length < BATCH || BigInt(last) >= BigInt(through)) return entries
      from = last
    }
  }

  async function readProgress(): Promise<Progress> {
    const { rows } = await sql.platform.query<Progress>('select generation, position, through, counted from analytics.progress')
    return rows[0] as Progress
  }

  /** The store may have been emptied, moved away, or belong to another database; then it is begun anew. */
  async function withTable(progress: Progress): Promise<Progress> {
    const { generation } = progress
    if (generation !== '' && generation === knownToBeThere) return progress
    if (generation.startsWith(`v${FACTS_VERSION}_`) && (await isThere(generation))) knownToBeThere = generation
    else return beginAnew(progress)
    return progress
  }

  async function isThere(generation: string): Promise<boolean> {
    const found = await analytics.query('select 1 from system.tables where database = currentDatabase() and name = {name:String}', {
      name: tableOf(generation),
    })
    return found.length > 0
  }

  async function beginAnew(before: Progress): Promise<Progress> {
    const generation = `v${FACTS_VERSION}_${randomBytes(6).toString('hex')}`
    await analytics.command(CREATE_FACTS, { facts: tableOf(generation) })
    const { rowCount } = await sql.platform.query(
      'update analytics.progress set generation = $2, position = 0, through = null where generation = $1',
      [before.generation, generation],
    )
    const obsolete = rowCount === 1 ? before.generation : generation
    if (obsolete !== '') await analytics.command('drop table if exists {facts:Identifier}', { facts: tableOf(obsolete) })
    const progress = await readProgress()
    knownToBeThere = progress.generation
    return progress
  }

  return {
    advance: () => inTurn(advance),
    rebuild: () => inTurn(async () => void (await beginAnew(await readProgress()))),
  }
}

function later(one: string, other: string): string {
  return BigInt(one) > BigInt(other) ? one : other
}
