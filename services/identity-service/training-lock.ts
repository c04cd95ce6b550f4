import { SomaError } from '@soma/contracts/errors'
import type { Sql } from '@soma/ports/sql/port'

/** Training mode of a tenant: one at a time trains its personas and capsules. */
export interface TrainingLock {
  tenant: string
  isActive: boolean
  /** Who holds it, or held it last; null when nobody ever did. */
  holder: string | null
  reason: string | null
  startedAt: string | null
  /** When it ends by itself, or ended. */
  expiresAt: string | null
  /** Grows with every start. What training writes must be refused with a lower one: its writer has lost the lock meanwhile. */
  token: number
}

const HOURS = 24
const COLUMNS = `tenant, expires_at > now() as "isActive", holder, reason, started_at as "startedAt", expires_at as "expiresAt", token::int`

/**
 * Takes the lock for 24 hours.
 * @throws `conflict` with who holds it, why and until when
 */
export async function startTraining(
  sql: Sql,
  tenant: string,
  { holder, reason }: { holder: string; reason: string },
): Promise<TrainingLock> {
  const { rows } = await sql.tenant(tenant).query(
    `insert into identity.training_locks as l (tenant, holder, reason, started_at, expires_at, token)
     values ($1, $2, $3, now(), now() + interval '${HOURS} hours', 1)
     on conflict (tenant) do update set holder = excluded.holder, reason = excluded.reason, started_at = excluded.started_at,
       expires_at = excluded.expires_at, token = l.token + 1 where l.expires_at <= now()
     returning ${COLUMNS}`,
    [tenant, holder, reason],
  )
  if (rows[0]) return asLock(rows[0])
  const held = await readTraining(sql, tenant)
  throw new SomaError('conflict', `The tenant is in training mode: ${held.holder} holds it until ${held.expiresAt} (${held.reason}).`, {
    holder: held.holder,
    reason: held.reason,
    expiresAt: held.expiresAt,
  })
}

/**
 * Gives the lock back.
 * @param token of the start that it ends; without it, whichever holds now
 * @throws `conflict` when nobody holds it, or another start does
 */
export async function stopTraining(sql: Sql, tenant: string, token: number | undefined): Promise<TrainingLock> {
  const { rows } = await sql
    .tenant(tenant)
    .query(
      `update identity.training_locks set expires_at = now() where expires_at > now() and ($1::bigint is null or token = $1) returning ${COLUMNS}`,
      [token ?? null],
    )
  if (rows[0]) return asLock(rows[0])
  const held = await readTraining(sql, tenant)
  throw held.isActive
    ? new SomaError('conflict', `The lock was taken again meanwhile, by ${held.holder}.`, { holder: held.holder, token: held.token })
    : new SomaError('conflict', 'The tenant is not in training mode.')
}

export async function readTraining(sql: Sql, tenant: string): Promise<TrainingLock> {
  const { rows } = await sql.tenant(tenant).query(`select ${COLUMNS} from identity.training_locks`)
  return rows[0] ? asLock(rows[0]) : { tenant, isActive: false, holder: null, reason: null, startedAt: null, expiresAt: null, token: 0 }
}

function asLock(row: Omit<TrainingLock, 'startedAt' | 'expiresAt'> & { startedAt: Date; expiresAt: Date }): TrainingLock {
  return { ...row, startedAt: row.startedAt.toISOString(), expiresAt: row.expiresAt.toISOString() }
}
