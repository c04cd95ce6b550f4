import { randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import type { Broadcast } from '@soma/ports/broadcast/port'
import type { Journal } from '@soma/ports/journal/port'
import { statementWithin } from '@soma/ports/sql/patience'
import type { Migration, Sql } from '@soma/ports/sql/port'
import { z } from 'zod'
import { keepLooking } from '../lifecycle/keep-looking.ts'

/** What a kill switch stops. `everything` is for the platform's operators alone: it crosses tenants. */
export const KillScope = z.enum(['everything', 'tenant', 'project', 'run', 'capsule', 'persona', 'tool'])
export type KillScope = z.infer<typeof KillScope>

export const KillSwitch = z.object({
  id: z.string(),
  tenant: z.string().describe('Tenant it was pulled in'),
  scope: KillScope,
  target: z.string().describe('Name of what is stopped: a tool or adapter, capsule, run…; * for tenant and everything'),
  reason: z.string(),
  by: z.string(),
  at: z.string(),
  liftedAt: z.string().optional(),
  liftedBy: z.string().optional(),
})
export type KillSwitch = z.infer<typeof KillSwitch>

/** What an action is part of; a switch that names any of it stops the action. */
export interface KillSubject {
  tenant: string
  project?: string
  run?: string
  capsule?: string
  persona?: string
  /** `git.log`; a switch on `git` covers it. */
  tool?: string
  /** Nothing stops it, not even a switch on everything: what lifting a switch needs. */
  exempt?: true
}

export const KILL_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-switches',
    up: `create table switches (
      id text primary key, tenant text not null, scope text not null, target text not null, reason text not null,
      by text not null, at timestamptz(3) not null default now(), lifted_at timestamptz(3), lifted_by text
    );
    create index switches_on on switches (tenant) where lifted_at is null;`,
  },
  {
    name: '002-everybody-sees-what-stops-everything',
    up: "create policy everything on switches for select to soma_tenant using (scope = 'everything')",
  },
]

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
  pull(request: { tenant: string; scope: KillScope; target: string; reason: string; by: string }): Promise<KillSwitch>
  /** @throws `not_found` */
  lift(request: { tenant: string; id: string; by: string }): Promise<KillSwitch>
  /** The switch that stops the subject, if one does. Asks memory only. */
  stopping(subject: KillSubject): KillSwitch | undefined
  /** @throws `killed` */
  assertRunning(subject: KillSubject): void
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

  /** From now on these hold. Readings that began before count no more: they may not know of the newest switch. */
  function hold(switches: KillSwitch[]): void {
    readings++
    pulled = switches
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
    async pull({ tenant, scope, target, reason, by }) {
      const { rows } = await sql
        .tenant(tenant)
        .query(`insert into kill.switches (id, tenant, scope, target, reason, by) values ($1, $2, $3, $4, $5, $6) returning ${FIELDS}`, [
          randomUUID(),
          tenant,
          scope,
          scope === 'tenant' || scope === 'everything' ? '*' : target,
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
      if (entry)
        throw new SomaError(
          'killed',
          `Stopped by kill switch ${entry.id} (${entry.scope} ${entry.target}), pulled by ${entry.by}: ${entry.reason}`,
          { killSwitch: entry.id, scope: entry.scope, retryable: false },
        )
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
    close: () => {
      stopLooking()
      return stopListening()
    },
  }
}

function covers(entry: KillSwitch, subject: KillSubject): boolean {
  if (subject.exempt) return false
  if (entry.scope === 'everything') return true
  if (entry.tenant !== subject.tenant) return false
  switch (entry.scope) {
    case 'tenant':
      return true
    case 'tool':
      return subject.tool === entry.target || subject.tool?.startsWith(`${entry.target}.`) === true
    case 'capsule':
      return subject.capsule === entry.target || subject.capsule?.split('@')[0] === entry.target
    case 'run':
      // A run's children are named after it.
      return subject.run === entry.target || subject.run?.startsWith(`${entry.target}.`) === true
    default:
      return subject[entry.scope] === entry.target
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
