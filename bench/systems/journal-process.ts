import { type JournalEntry, sha256 } from '@soma/contracts/journal'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openPostgres } from '@soma/ports/sql/postgres'
import { type Connection, memory, parametersOfChild, serve } from '../child.ts'

/** Appends of one run; each waits for the one before. A workflow of five steps makes as many. */
const APPENDS = 7
const tenant = 'bench'
const kind = 'step.completed'

const { connection } = parametersOfChild<{ connection: Connection }>()
const sql = await openPostgres({ connection })
const journal = await openPostgresJournal(sql)
await sql.migrate('floor', [{ name: '001-entries', up: 'create table entries (like journal.entries including all)' }])
let lastRun = 0

const payloadOf = (step: number) => ({ step, name: 'add', label: 'add', input: { sum: step * 3, step }, output: step * 4 })

async function appendRun(run: number): Promise<JournalEntry[]> {
  const written: JournalEntry[] = []
  for (let seq = 0; seq < APPENDS; seq++) {
    const entries = [{ kind, payload: payloadOf(seq) }]
    written.push(...(await journal.append({ tenant, stream: `run/${run}`, expectedSeq: seq, entries })))
  }
  return written
}

/** The same rows in a table like the journal's, made beforehand: no chain, no queue, one prepared INSERT after the other. */
function floorGroups(runs: number): unknown[][] {
  const at = new Date().toISOString()
  const digest = sha256('floor')
  const streams = Array.from({ length: runs }, () => `run/${++lastRun}`)
  return Array.from({ length: APPENDS }, (_, step) => [streams, step + 1, kind, at, JSON.stringify(payloadOf(step)), digest])
}

const FLOOR = {
  name: 'floor',
  text: `insert into floor.entries (tenant, stream, seq, kind, at, payload, digest, prev_hash, hash)
    select '${tenant}', stream, $2::int, $3, $4::timestamptz, $5::json, decode($6, 'hex'), decode($6, 'hex'), decode($6, 'hex') from unnest($1::text[]) as stream`,
}

async function rate(entries: number, work: () => Promise<unknown>): Promise<number> {
  const before = performance.now()
  await work()
  return (entries / (performance.now() - before)) * 1000
}

const methods = {
  /** Appends a second, of so many runs at once. */
  async appends(runs: number): Promise<number> {
    const first = lastRun + 1
    lastRun += runs
    let written: JournalEntry[][] = []
    const perSecond = await rate(runs * APPENDS, async () => {
      written = await Promise.all(Array.from({ length: runs }, (_, index) => appendRun(first + index)))
    })
    const { rows } = await sql.platform.query('select count(*)::int as count from journal.entries where position = any($1)', [
      written.flat().map((entry) => entry.position),
    ])
    if (rows[0].count !== runs * APPENDS) throw new Error(`${rows[0].count} of ${runs * APPENDS} entries are in the journal`)
    return perSecond
  },
  /** Rows a second of a grouped INSERT. */
  async floor(runs: number): Promise<number> {
    const groups = floorGroups(runs)
    return rate(runs * APPENDS, async () => {
      for (const values of groups) await sql.platform.query({ ...FLOOR, values })
    })
  },
  memory,
}
export type JournalMethods = typeof methods

serve(methods, async () => {
  await journal.close()
  await sql.close()
})
