import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as pass } from 'node:timers/promises'
import type { Broadcast } from '@soma/ports/broadcast/port'
import type { Journal } from '@soma/ports/journal/port'
import { statementWithin } from '@soma/ports/sql/patience'
import type { Sql } from '@soma/ports/sql/port'
import { z } from 'zod'
import { keepLooking } from '../lifecycle/keep-looking.ts'
import { type KillRequest, KillScope, targetOf } from './kill-switch.ts'
import type { RunningActions } from './running-actions.ts'

/** An action that was under way when a drill came by. */
const MetAction = z.object({ operation: z.string(), key: z.string(), run: z.string().optional(), canBeEnded: z.boolean() })
type MetAction = z.infer<typeof MetAction>

export const DrillReport = z.object({
  id: z.string(),
  scope: KillScope,
  target: z.string(),
  reason: z.string(),
  by: z.string(),
  at: z.string(),
  processes: z.array(
    z.object({
      name: z.string().describe('Machine and process id'),
      milliseconds: z.number().optional().describe('From the pulling until the process had seen it and said so; none: it did not'),
    }),
  ),
  slowestMilliseconds: z.number().describe('Of the processes that saw it'),
  isComplete: z.boolean().describe('Whether every process saw it'),
  ended: z.array(MetAction).describe('Actions under way that would have been ended'),
  finished: z.array(MetAction).describe('Actions under way that would have come to their end first'),
  elsewhere: z.number().int().describe('Actions under way in other tenants that it would have met'),
})
export type DrillReport = z.infer<typeof DrillReport>

const CHANNEL = 'kill-drill'
/** As for switches: whom no broadcast reaches sees a drill by looking. */
const LOOK_EVERY_MILLISECONDS = 1_000
const LOOK_WITHIN_MILLISECONDS = 5_000
/** So often a process says that it is there. */
const SIGN_OF_LIFE_SECONDS = 5
/** One that has said nothing for so long is gone. */
const GONE_AFTER_SECONDS = 15
/** The longest that a drill waits for processes. */
const PATIENCE_MILLISECONDS = 5_000
const ASK_EVERY_MILLISECONDS = 20

/** A switch that is pulled for show: every process says that it saw it and what it would have met, and nothing is stopped. */
export interface Drills {
  /** @throws `audit_unavailable` when the report can't be recorded */
  drill(request: KillRequest): Promise<DrillReport>
  close(): Promise<void>
}

export async function openDrills({
  sql,
  broadcast,
  journal,
  running,
}: {
  sql: Sql
  broadcast: Broadcast
  journal: Journal
  running: RunningActions
}): Promise<Drills> {
  const process = { id: randomUUID(), name: `${hostname()}:${globalThis.process.pid}` }
  const seen = new Set<string>()

  /** Gives a sign of life now and then, and looks for drills that this process has not met. */
  async function look(): Promise<void> {
    const statement = statementWithin(
      LOOK_WITHIN_MILLISECONDS,
      `with alive as (
         insert into kill.processes (id, name) values ($1, $2) on conflict (id) do update set seen_at = clock_timestamp()
         where processes.seen_at < clock_timestamp() - $3 * interval '1 second'
       )
       select id, tenant, scope, target from kill.drills where at > clock_timestamp() - interval '1 minute' and id <> all($4)`,
      [process.id, process.name, SIGN_OF_LIFE_SECONDS, [...seen]],
    )
    const { rows } = await sql.platform.query<Pick<KillRequest, 'tenant' | 'scope' | 'target'> & { id: string }>(statement)
    for (const { id, ...entry } of rows) {
      const met = running.coveredBy(entry)
      const own = met
        .filter(({ subject }) => subject.tenant === entry.tenant)
        .map(({ subject, operation, key, canBeEnded }): MetAction => ({ operation, key, run: subject.run, canBeEnded }))
      await sql.platform.query(
        'insert into kill.sightings (drill, process, name, actions) values ($1, $2, $3, $4) on conflict do nothing',
        [id, process.id, process.name, JSON.stringify({ own, elsewhere: met.length - own.length })],
      )
      seen.add(id)
    }
  }

  /** The next look finds what this one did not. */
  const lookNow = () => look().catch(() => undefined)
  await lookNow()
  const stopListening = await broadcast.subscribe(CHANNEL, lookNow, lookNow)
  const stopLooking = keepLooking(lookNow, LOOK_EVERY_MILLISECONDS)

  interface Sighting {
    name: string
    milliseconds: number | null
    actions: { own: MetAction[]; elsewhere: number } | null
  }

  /** Every process that is there or was heard of, with what it saw. */
  async function sightings(drill: string): Promise<Sighting[]> {
    const { rows } = await sql.platform.query<Sighting>(
      `select coalesce(s.name, p.name) as name, s.actions,
         (extract(epoch from s.at - (select at from kill.drills where id = $1)) * 1000)::float8 as milliseconds
       from (select * from kill.sightings where drill = $1) s
       full join (select * from kill.processes where seen_at > clock_timestamp() - $2 * interval '1 second') p on p.id = s.process
       order by milliseconds nulls last`,
      [drill, GONE_AFTER_SECONDS],
    )
    return rows
  }

  async function allSightings(drill: string): Promise<Sighting[]> {
    const end = performance.now() + PATIENCE_MILLISECONDS
    for (;;) {
      const found = await sightings(drill)
      if (found.every(({ milliseconds }) => milliseconds !== null) || performance.now() > end) return found
      await pass(ASK_EVERY_MILLISECONDS)
    }
  }

  return {
    async drill(request) {
      const { tenant, scope, reason, by } = request
      const id = randomUUID()
      const target = targetOf(request)
      await sql
        .tenant(tenant)
        .query('insert into kill.drills (id, tenant, scope, target) values ($1, $2, $3, $4)', [id, tenant, scope, target])
      const at = new Date().toISOString()
      void lookNow()
      await Promise.race([broadcast.publish(CHANNEL, { id }), pass(LOOK_EVERY_MILLISECONDS)]).catch(() => undefined)
      const found = await allSightings(id)
      const times = found.flatMap(({ milliseconds }) => (milliseconds === null ? [] : Math.round(milliseconds)))
      const actions = found.flatMap((each) => each.actions?.own ?? [])
      const report: DrillReport = {
        ...{ id, scope, target, reason, by, at },
        processes: found.map(({ name, milliseconds }) =>
          milliseconds === null ? { name } : { name, milliseconds: Math.round(milliseconds) },
        ),
        slowestMilliseconds: Math.max(0, ...times),
        isComplete: times.length === found.length,
        ended: actions.filter(({ canBeEnded }) => canBeEnded),
        finished: actions.filter(({ canBeEnded }) => !canBeEnded),
        elsewhere: found.reduce((sum, each) => sum + (each.actions?.elsewhere ?? 0), 0),
      }
      await sql.tenant(tenant).query('delete from kill.drills where id = $1', [id])
      await journal.append({ tenant, stream: 'kill', expectedSeq: 'any', entries: [{ kind: 'kill.drilled', payload: report }] })
      return report
    },
    async close() {
      stopLooking()
      await stopListening()
      await sql.platform.query('delete from kill.processes where id = $1', [process.id]).catch(() => undefined)
    },
  }
}
