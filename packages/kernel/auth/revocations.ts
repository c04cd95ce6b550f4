import { setTimeout as pass } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import type { Broadcast } from '@soma/ports/broadcast/port'
import { statementWithin } from '@soma/ports/sql/patience'
import type { Migration, Sql } from '@soma/ports/sql/port'
import { shareReading } from './share-reading.ts'

/**
 * What a revocation ends: one token, by its id (jti); every token of a session, by its id (sid); or what stands for a principal, by its
 * id, as far as it was issued before a moment.
 */
export type RevocationKind = 'token' | 'session' | 'principal'

/** What is looked up about a token that is genuine and not expired. */
export interface ShownToken {
  tenant: string
  id: string
  principal: string
  session?: string
  /** Whom an agent or a key acts for. */
  onBehalfOf?: string
  /** With which an agent's token dies. */
  run?: string
  /** Seconds since 1970. A token that does not say counts as issued long ago. */
  issuedAt?: number
}

export interface RevocationRequest {
  tenant: string
  kind: RevocationKind
  value: string
  /** Only what was issued before it; without it everything, also what is issued later. */
  issuedBefore?: Date
  /** When the last token that it covers has expired. Without it, it holds for good, or until a principal is let in again. */
  until?: Date
}

export interface Revocations {
  /** When it resolves, this process acts on it and the others were told; one that could not be told looks for itself within a second. */
  revoke(request: RevocationRequest): Promise<void>
  /** Lets a principal in again that was shut out, with what is issued from now on. */
  letIn(tenant: string, principal: string): Promise<void>
  /**
   * Asks memory only, unless it is out of date.
   * @throws `unauthenticated` for a token that was revoked; `dependency_unavailable` when nobody can tell
   */
  assertGood(token: ShownToken): Promise<void>
  /** True for a principal of whom everything is revoked until it is let in again. @throws `dependency_unavailable` as `assertGood` */
  isShutOut(tenant: string, principal: string): Promise<boolean>
  close(): Promise<void>
}

export const REVOCATION_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-revocations',
    up: `create table revocations (
      tenant text not null, kind text not null, value text not null,
      issued_before timestamptz(3) not null, until timestamptz(3) not null,
      changed_at timestamptz not null default clock_timestamp(),
      primary key (tenant, kind, value)
    );
    create index revocations_changed on revocations (changed_at);`,
  },
]

/** How long a token of anybody lives at the most, with what clocks may differ; a revocation need not be remembered for longer. */
export const LONGEST_TOKEN_SECONDS = 25 * 60 * 60

const CHANNEL = 'revocations'
/** Whom no broadcast reaches sees a revocation by looking. */
const LOOK_EVERY_MILLISECONDS = 1000
/** A revocation acts at most this late: when what is known is older, no token is taken before it was read again. */
const OLDEST_MILLISECONDS = 5000
/** A database that is merely slow gets to answer. */
const PATIENCE_MILLISECONDS = 10_000
/** A change is visible when its statement has ended, a little after the time it bears. */
const OVERLAP = "interval '1 minute'"
const TIDY_EVERY_MILLISECONDS = 10 * 60_000

interface Held {
  issuedBefore: number
  until: number
}

/** Revoked tokens: kept in PostgreSQL, held in every process's memory while they matter, told by broadcast and looked for every second. */
export async function openRevocations({ sql, broadcast }: { sql: Sql; broadcast: Broadcast }): Promise<Revocations> {
  await sql.migrate('tokens', REVOCATION_MIGRATIONS)
  const held = new Map<string, Held>()
  let newest: Date | undefined
  let readAt = Number.NEGATIVE_INFINITY
  let tidiedAt = performance.now()
  let isClosed = false

  async function read(): Promise<void> {
    const began = performance.now()
    const reading = statementWithin(
      OLDEST_MILLISECONDS,
      `select tenant, kind, value, extract(epoch from issued_before)::float8 * 1000 as "issuedBefore",
         extract(epoch from until)::float8 * 1000 as until, changed_at as "changedAt"
       from tokens.revocations where ($1::timestamptz is null and until > now()) or changed_at > $1::timestamptz - ${OVERLAP} order by changed_at`,
      [newest ?? null],
    )
    const { rows } = await sql.platform.query<Row>(reading)
    for (const { tenant, kind, value, issuedBefore, until } of rows) held.set(keyOf(tenant, kind, value), { issuedBefore, until })
    newest = rows.at(-1)?.changedAt ?? newest
    readAt = began
    forgetExpired(held)
  }

  const readNow = shareReading(read)
  const lookNow = () => readNow().catch(() => undefined)
  const stopListening = await broadcast.subscribe(CHANNEL, lookNow, lookNow)
  await readNow()
  let nextLook: NodeJS.Timeout
  function keepLooking(): void {
    nextLook = setTimeout(async () => {
      await lookNow()
      await tidyNowAndThen()
      if (!isClosed) keepLooking()
    }, LOOK_EVERY_MILLISECONDS).unref()
  }
  keepLooking()

  async function tidyNowAndThen(): Promise<void> {
    if (performance.now() - tidiedAt < TIDY_EVERY_MILLISECONDS) return
    tidiedAt = performance.now()
    // A while after they ended, so that every process has seen those that were lifted.
    await sql.platform.query("delete from tokens.revocations where until < now() - interval '1 hour'").catch(() => undefined)
  }

  async function assertKnown(): Promise<void> {
    if (performance.now() - readAt < OLDEST_MILLISECONDS) return
    const tooLate = new AbortController()
    await Promise.race([
      readNow(),
      pass(PATIENCE_MILLISECONDS, undefined, { signal: tooLate.signal }).then(() => Promise.reject(new Error('no answer'))),
    ])
      .catch((cause) => {
        throw new SomaError(
          'dependency_unavailable',
          'Whether the token was revoked can not be looked up at present, so it is not taken.',
          { retryAfterSeconds: 2 },
          { cause },
        )
      })
      .finally(() => tooLate.abort())
  }

  async function change(statement: string, values: unknown[]): Promise<void> {
    await sql.platform.query(statement, values)
    await Promise.all([readNow(), Promise.race([broadcast.publish(CHANNEL, {}), pass(LOOK_EVERY_MILLISECONDS)]).catch(() => undefined)])
  }

  const find = (tenant: string, kind: RevocationKind, value: string) => {
    const found = held.get(keyOf(tenant, kind, value))
    return found && found.until > Date.now() ? found : undefined
  }

  function isRevoked({ tenant, id, principal, session, onBehalfOf, issuedAt = 0 }: ShownToken): boolean {
    const wasIssued = Math.round(issuedAt * 1000)
    const isOfRevoked = (each: string | undefined) =>
      each !== undefined && wasIssued <= (find(tenant, 'principal', each)?.issuedBefore ?? Number.NEGATIVE_INFINITY)
    return (
      find(tenant, 'token', id) !== undefined ||
      (session !== undefined && find(tenant, 'session', session) !== undefined) ||
      isOfRevoked(principal) ||
      isOfRevoked(onBehalfOf)
    )
  }

  return {
    revoke: ({ tenant, kind, value, issuedBefore, until }) =>
      change(
        `insert into tokens.revocations as r (tenant, kind, value, issued_before, until) values ($1, $2, $3, coalesce($4::timestamptz, 'infinity'), coalesce($5::timestamptz, 'infinity'))
         on conflict (tenant, kind, value) do update set changed_at = clock_timestamp(),
           issued_before = case when r.until > now() then greatest(r.issued_before, excluded.issued_before) else excluded.issued_before end,
           until = case when r.until > now() then greatest(r.until, excluded.until) else excluded.until end`,
        [tenant, kind, value, issuedBefore ?? null, until ?? null],
      ),
    letIn: (tenant, principal) =>
      change(
        `update tokens.revocations set issued_before = now(), until = now() + $3::int * interval '1 second', changed_at = clock_timestamp()
         where tenant = $1 and kind = 'principal' and value = $2 and issued_before = 'infinity'`,
        [tenant, principal, LONGEST_TOKEN_SECONDS],
      ),
    async assertGood(token) {
      await assertKnown()
      if (isRevoked(token)) throw new SomaError('unauthenticated', 'The token was revoked. Sign in again, or ask for a new one.')
    },
    async isShutOut(tenant, principal) {
      await assertKnown()
      return find(tenant, 'principal', principal)?.issuedBefore === Number.POSITIVE_INFINITY
    },
    close: () => {
      isClosed = true
      clearTimeout(nextLook)
      return stopListening()
    },
  }
}

interface Row {
  tenant: string
  kind: RevocationKind
  value: string
  issuedBefore: number
  until: number
  changedAt: Date
}

function keyOf(tenant: string, kind: RevocationKind, value: string): string {
  return `${tenant}\n${kind}\n${value}`
}

function forgetExpired(held: Map<string, Held>): void {
  const now = Date.now()
  for (const [key, { until }] of held) if (until <= now) held.delete(key)
}
