import type { JournalEntry } from '@soma/contracts/journal'
import type { RunDescription } from '@soma/contracts/workflow'
import { EVERY_TENANT, type Journal } from '../../journal/port.ts'
import type { Sql, Statements } from '../../sql/port.ts'
import type { Workflows } from '../port.ts'
import { WORKFLOW_MIGRATIONS } from './migrations.ts'
import { END_KINDS, type RecordedError, type StartedPayload } from './record.ts'

/** Milliseconds between two writes of the index. It is off the road of the steps. */
const WRITE_EVERY = 50
/** A run that continues is known by the start of what continues it. */
const KINDS = ['run.started', ...END_KINDS.filter((kind) => kind !== 'run.continued')]

interface Row {
  tenant: string
  run_id: string
  workflow: string
  status: RunDescription['status']
  generation: number
  started_at: Date
  ended_at: Date | null
  parent: string | null
  error: RecordedError | null
}

export interface IndexedRun extends RunDescription {
  generation: number
}

export type RunIndex = Awaited<ReturnType<typeof openRunIndex>>

/**
 * The list of runs: fed from the journal's entries, written in batches, caught up after a crash.
 * @param options.severalWriters other processes write it as well: only a catch-up, which sees what all of them appended, moves the progress
 */
export async function openRunIndex(sql: Sql, journal: Journal, options: { severalWriters?: boolean } = {}) {
  await sql.migrate('workflows', WORKFLOW_MIGRATIONS)
  let pending: JournalEntry[] = []
  let writing: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined

  /** @param seen position up to which the journal was read for the index */
  async function write(seen?: string): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    const entries = pending
    pending = []
    const last = entries.at(-1)
    if (!last) return
    const rows = [...collapse(entries).values()]
    // Rows and progress are one transaction, and what a crash takes of it is read again: it need not wait for the disk.
    const written = sql.platform.query(
      `with changed as (
         insert into workflows.runs as r (tenant, run_id, workflow, status, generation, started_at, ended_at, parent, error)
         select tenant, run_id, coalesce(workflow, ''), status, generation, coalesce(started_at, now()), ended_at, parent, error
         from json_to_recordset($1::json) as e(tenant text, run_id text, workflow text, status text, generation int, started_at timestamptz, ended_at timestamptz, parent text, error json)
         on conflict (tenant, run_id) do update
           set status = excluded.status, generation = greatest(r.generation, excluded.generation), ended_at = excluded.ended_at, error = excluded.error
           where r.ended_at is null
       ) update workflows.progress set position = greatest(position, $2::bigint) returning set_config('synchronous_commit', 'off', true)`,
      [JSON.stringify(rows), seen ?? (options.severalWriters ? '0' : last.position)],
    )
    await written.catch((error) => {
      pending = [...entries, ...pending]
      throw error
    })
  }

  const flush = (seen?: string) => {
    const next = () => write(seen)
    writing = writing.then(next, next)
    return writing
  }

  async function find(within: Statements, where: string, values: unknown[]): Promise<IndexedRun[]> {
    await flush()
    const { rows } = await within.query<Row>(
      `select tenant, run_id, workflow, status, generation, started_at, ended_at, parent, error from workflows.runs where ${where}`,
      values,
    )
    return rows.map(describe)
  }

  return {
    /** Takes note of entries just appended. */
    note(entries: readonly JournalEntry[]): void {
      for (const entry of entries) if (KINDS.includes(entry.kind)) pending.push(entry)
      if (pending.length > 0) timer ??= setTimeout(() => void flush().catch(() => undefined), WRITE_EVERY)
    },
    /** Reads what a dead owner appended but did not index. */
    async catchUp(): Promise<void> {
      await journal.barrier()
      let after = String((await sql.platform.query('select position from workflows.progress')).rows[0].position)
      for (;;) {
        const entries = await journal.tail({
          tenant: EVERY_TENANT,
          after,
          streamPrefix: 'run/',
          kinds: KINDS,
          limit: 5000,
          includeUnsettled: true,
        })
        const last = entries.at(-1)
        if (!last) return
        pending.push(...entries)
        await flush(last.position)
        after = last.position
      }
    },
    /** Of all tenants: what the engine goes on with. */
    open: () => find(sql.platform, `status = 'running' order by started_at`, []),
    async get(tenant: string, runId: string): Promise<IndexedRun | undefined> {
      return (await find(sql.tenant(tenant), 'tenant = $1 and run_id = $2', [tenant, runId]))[0]
    },
    list: ({ tenant, workflow, status, after, limit = 100 }: Parameters<Workflows['list']>[0]) =>
      find(
        sql.tenant(tenant),
        `tenant = $1 and ($2::text is null or workflow = $2) and ($3::text is null or status = $3)
         and ($4::text is null or (started_at, run_id) < (select started_at, run_id from workflows.runs where tenant = $1 and run_id = $4))
         order by started_at desc, run_id desc limit $5`,
        [tenant, workflow ?? null, status ?? null, after ?? null, limit],
      ),
    flush: () => flush(),
  }
}

function collapse(entries: readonly JournalEntry[]): Map<string, Partial<Row>> {
  const rows = new Map<string, Partial<Row>>()
  for (const entry of entries) {
    const [, runId, generation] = entry.stream.split('/')
    const key = `${entry.tenant}\n${runId}`
    const row = rows.get(key) ?? { tenant: entry.tenant, run_id: runId as string }
    row.generation = Number(generation ?? 1)
    if (entry.kind === 'run.started') {
      const started = entry.payload as StartedPayload
      Object.assign(row, {
        workflow: started.workflow,
        status: 'running',
        started_at: row.started_at ?? entry.at,
        ended_at: null,
        parent: started.parent?.runId ?? null,
        error: null,
      })
    } else {
      Object.assign(row, {
        status: entry.kind.slice('run.'.length),
        ended_at: entry.at,
        error: (entry.payload as { error?: RecordedError }).error ?? null,
      })
    }
    rows.set(key, row)
  }
  return rows
}

function describe(row: Row): IndexedRun {
  return {
    tenant: row.tenant,
    runId: row.run_id,
    workflow: row.workflow,
    status: row.status,
    generation: row.generation,
    startedAt: row.started_at.toISOString(),
    ...(row.ended_at ? { endedAt: row.ended_at.toISOString() } : {}),
    ...(row.parent ? { parent: row.parent } : {}),
    ...(row.error ? { error: { code: row.error.code, message: row.error.message } } : {}),
  }
}
