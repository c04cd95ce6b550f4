import { randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import type { Broadcast } from '@soma/ports/broadcast/port'
import type { Journal } from '@soma/ports/journal/port'
import { statementWithin } from '@soma/ports/sql/patience'
import type { Sql } from '@soma/ports/sql/port'
import { keepLooking } from '../lifecycle/keep-looking.ts'
import { type DrillReport, openDrills } from './drills.ts'
import { covers, type KillRequest, type KillScope, type KillSubject, type KillSwitch, killedBy, targetOf } from './kill-switch.ts'
import { KILL_MIGRATIONS } from './migrations.ts'
import { createRunningActions, type RunningAction, type RunningCall } from './running-actions.ts'

const CHANNEL = 'kill'
/** Whom no broadcast reaches sees a switch by looking. */
const LOOK_EVERY_MILLISECONDS = 1_000
/** A look at a database that hangs does not hold up the next for long. */
const LOOK_WITHIN_MILLISECONDS = 5_000
const FIELDS = 'id, tenant, scope, target, reason, by, at, lifted_at, lifted_by'

export interface KillSwitches {
  /**
   * Pulls a switch. When it resolves, every process that broadcast reaches was told, and this one acts on it already; any other process
   * does within a second or so.
   * @throws `audit_unavailable` when it can't be recorded; it acts all the same
   */
  pull(request: KillRequest): Promise<KillSwitch>
  /**
   * Pulls a switch for show: says how soon every process saw it and which actions under way it would have met. Nothing is stopped.
   * @throws `audit_unavailable`
   */
  drill(request: KillRequest): Promise<DrillReport>
  /** @throws `not_found` */
  lift(request: { tenant: string; id: string; by: string }): Promise<KillSwitch>
  /** The switch that stops the subject, if one does. Asks memory only. */
  stopping(subject: KillSubject): KillSwitch | undefined
  /** @throws `killed` */
  assertRunning(subject: KillSubject): void
  /** A call begins. A switch that is pulled while it is under way meets it. */
  begin(action: RunningAction): RunningCall
  /** Resolves when nothing stops the subject any more. */
  whenLifted(subject: KillSubject, signal: AbortSignal): Promise<void>
  list(tenant: string, options?: { includeLifted?: boolean }): Promise<KillSwitch[]>
  close(): Promise<void>
}

/** Kill switches: kept in PostgreSQL, held in every process's memory, told by broadcast and, should that be away, looked for every second. */
export async function openKillSwitches({
  sql,
  broadcast,
  journal,
}: {
  sql: Sql
  broadcast: Broadcast
  journal: Journal
}): Promise<KillSwitches> {
  await sql.migrate('kill', KILL_MIGRATIONS)
  let pulled: KillSwitch[] = []
  let readings = 0
  const waiting = new Set<() => void>()
  const running = createRunningActions()

  /** From now on these hold. Readings that began before count no more: they may not know of the newest switch. */
  function hold(switches: KillSwitch[]): void {
    readings++
    pulled = switches
    running.meet(switches)
    for (const look of [...waiting]) look()
  }

  async function reload(): Promise<void> {
    const reading = ++readings
    const look = statementWithin(LOOK_WITHIN_MILLISECONDS, `select ${FIELDS} from kill.switches where lifted_at is null`)
    const { rows } = await sql.platform.query(look)
    if (reading === readings) hold(rows.map(fromRow))
  }

  // What can't be read is taken for the last that was known, until the next look.
  const lookNow = () => reload().catch(() => undefined)
  const stopListening = await broadcast.subscribe(CHANNEL, lookNow, lookNow)
  await reload()
  const stopLooking = keepLooking(lookNow, LOOK_EVERY_MILLISECONDS)
  const drills = await openDrills({ sql, broadcast, journal, running })

  /** Every process is told, also when the ledger can't be written: a switch that is pulled acts. Whoever can't be told looks for itself. */
  async function announce(kind: 'kill.pulled' | 'kill.lifted', entry: KillSwitch): Promise<void> {
    void lookNow()
    const [, recorded] = await Promise.allSettled([
      Promise.race([broadcast.publish(CHANNEL, { id: entry.id }), pass(LOOK_EVERY_MILLISECONDS)]),
      journal.append({ tenant: entry.tenant, stream: 'kill', expectedSeq: 'any', entries: [{ kind, payload: entry }] }),
    ])
    if (recorded.status === 'rejected') throw recorded.reason
  }

  const stopping = (subject: KillSubject) => pulled.find((entry) => covers(entry, subject))

  return {
    stopping,
    begin: running.begin,
    drill: drills.drill,
    async pull(request) {
      const { tenant, scope, reason, by } = request
      const { rows } = await sql
        .tenant(tenant)
        .query(`insert into kill.switches (id, tenant, scope, target, reason, by) values ($1, $2, $3, $4, $5, $6) returning ${FIELDS}`, [
          randomUUID(),
          tenant,
          scope,
          targetOf(request),
          reason,
          by,
        ])
      const entry = fromRow(rows[0])
      hold([...pulled, entry])
      await announce('kill.pulled', entry)
      return entry
    },
    async lift({ tenant, id, by }) {
      const { rows } = await sql
        .tenant(tenant)
        .query(
          `update kill.switches set lifted_at = now(), lifted_by = $3 where id = $1 and tenant = $2 and lifted_at is null returning ${FIELDS}`,
          [id, tenant, by],
        )
      if (rows.length === 0) throw new SomaError('not_found', `No kill switch ${id} is pulled in this tenant.`, { id })
      const entry = fromRow(rows[0])
      hold(pulled.filter((each) => each.id !== id))
      await announce('kill.lifted', entry)
      return entry
    },
    assertRunning(subject) {
      const entry = stopping(subject)
      if (entry) throw killedBy(entry)
    },
    whenLifted(subject, signal) {
      return new Promise((resolve, reject) => {
        const done = (settle: () => void) => {
          waiting.delete(look)
          signal.removeEventListener('abort', abort)
          settle()
        }
        const look = () => {
          if (!stopping(subject)) done(resolve)
        }
        const abort = () => done(() => reject(signal.reason))
        if (signal.aborted) return reject(signal.reason)
        waiting.add(look)
        signal.addEventListener('abort', abort)
        look()
      })
    },
    async list(tenant, { includeLifted = false } = {}) {
      const { rows } = await sql
        .tenant(tenant)
        .query(
          `select ${FIELDS} from kill.switches where (tenant = $1 or scope = 'everything') and ($2 or lifted_at is null) order by at desc limit 500`,
          [tenant, includeLifted],
        )
      return rows.map(fromRow)
    },
    async close() {
      stopLooking()
      await drills.close()
      await stopListening()
    },
  }
}

interface Row {
  id: string
  tenant: string
  scope: KillScope
  target: string
  reason: string
  by: string
  at: Date
  lifted_at: Date | null
  lifted_by: string | null
}

function fromRow(row: Row): KillSwitch {
  const { lifted_at, lifted_by, at, ...rest } = row
  return { ...rest, at: at.toISOString(), ...(lifted_at ? { liftedAt: lifted_at.toISOString(), liftedBy: lifted_by ?? '' } : {}) }
}
