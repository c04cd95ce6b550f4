import { createHash } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { Sql } from '@soma/ports/sql/port'

/** Whose attempts are counted. */
export interface Subject {
  name: string
  /** Failures that cost nothing. After them each next attempt has to wait, longer every time. */
  free: number
  /** Seconds that it has to wait at the most. */
  longestWait: number
}

/** An account, whether there is one or not. */
export const accountSubject = (tenant: string, email: string): Subject => ({
  name: `account ${tenant} ${email.toLowerCase()}`,
  free: 5,
  longestWait: 15 * 60,
})
/** Somebody who is known already and shows a password or a code once more. */
export const personSubject = (tenant: string, user: string): Subject => ({
  name: `person ${tenant} ${user}`,
  free: 5,
  longestWait: 15 * 60,
})
/** Many people may share an address, and one may try many accounts from it. */
export const addressSubject = (address: string): Subject => ({ name: `address ${address}`, free: 50, longestWait: 5 * 60 })

/** Failures are forgotten after a day without any. */
const MEMORY = "interval '1 day'"

/**
 * Counts the attempt as a failure before it is made, so that many at once count as many.
 * @throws `rate_limited` with how long to wait, for accounts there are and for those there are not
 */
export async function beginAttempt(sql: Sql, { name, free, longestWait }: Subject): Promise<void> {
  const subject = digestOf(name)
  const { rowCount } = await sql.platform.query(
    `insert into identity.attempts as a (subject, failures, last_at, blocked_until) values ($1, 1, now(), now())
     on conflict (subject) do update set last_at = now(),
       failures = case when a.last_at < now() - ${MEMORY} then 1 else a.failures + 1 end,
       blocked_until = now() + case when a.last_at < now() - ${MEMORY} then 0
         else least(power(2, least(greatest(a.failures + 1 - $2, 0), 20)) - 1, $3) end * interval '1 second'
     where a.blocked_until <= now()`,
    [subject, free, longestWait],
  )
  if (rowCount === 1) return
  const { rows } = await sql.platform.query(
    'select extract(epoch from blocked_until - now())::float8 as seconds from identity.attempts where subject = $1',
    [subject],
  )
  const retryAfterSeconds = Math.max(1, Math.ceil(rows[0]?.seconds ?? 1))
  throw new SomaError('rate_limited', `Too many attempts that failed. Try again in ${retryAfterSeconds} s.`, { retryAfterSeconds })
}

/** What was counted by `beginAttempt` was none; earlier failures are forgotten with it. */
export async function forgetFailures(sql: Sql, { name }: Subject): Promise<void> {
  await sql.platform.query('delete from identity.attempts where subject = $1', [digestOf(name)])
}

/** Takes back what `beginAttempt` counted, but no earlier failure: who has one account may not wash an address clean for the next. */
export async function takeBack(sql: Sql, { name }: Subject): Promise<void> {
  await sql.platform.query('update identity.attempts set failures = greatest(failures - 1, 0), blocked_until = now() where subject = $1', [
    digestOf(name),
  ])
}

export async function deleteOldAttempts(sql: Sql): Promise<void> {
  await sql.platform.query(`delete from identity.attempts where last_at < now() - ${MEMORY}`)
}

/** People type passwords where an e-mail address belongs, so what was typed is not kept. */
function digestOf(name: string): Buffer {
  return createHash('sha256').update(name).digest()
}
