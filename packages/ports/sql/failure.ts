import { SomaError } from '@soma/contracts/errors'

/** SQLSTATE classes and socket errors that mean: the server is away, has no room for us, or gave the statement up as too slow. */
const AWAY = /^(08...|57P0[1-3]|57014|53[23]00|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH)$/
/** What `pg` throws without a code: a connection that ended, or that was not had in time, or an answer that did not come in time. */
const AWAY_WITHOUT_CODE =
  /^(Connection terminated|Client (has encountered a connection error|was closed) and is not queryable$|timeout expired$|timeout exceeded when trying to connect$|Query read timeout$)/
/** Names the database in `details.dependency`. */
const DATABASE = 'postgres'

/** What PostgreSQL and the connection to it say, as far as a caller can act on it. Their own words are not passed on. */
export function databaseFailure(cause: unknown): SomaError | undefined {
  const code = String((cause as { code?: unknown } | undefined | null)?.code ?? '')
  if (code === '22021' || code === '22P05')
    return new SomaError('invalid_input', 'The input holds a character that can not be stored, such as NUL. Leave it out.', {}, { cause })
  if (code === '53100' || code === 'ENOSPC') {
    // The latter is what the platform's own files meet, on a disk that need not be the database's.
    const details = code === '53100' ? { dependency: DATABASE } : {}
    return new SomaError('disk_full', 'The disk of the platform is full. Nothing that was confirmed is lost.', details, { cause })
  }
  if (AWAY.test(code) || (cause instanceof Error && code === '' && AWAY_WITHOUT_CODE.test(cause.message)))
    return new SomaError(
      'dependency_unavailable',
      'The database of the platform does not answer. Ask again soon; if that does not help, `soma doctor` says where it is looked for.',
      { dependency: DATABASE, retryAfterSeconds: 5 },
      { cause },
    )
  return undefined
}

/** True when the error, as `pg` threw it or as the platform says it, means that the database is away or full. */
export function isDatabaseAway(error: unknown): boolean {
  if (!SomaError.is(error)) return databaseFailure(error)?.details.dependency === DATABASE
  if (error.details.dependency === DATABASE) return true
  return error.code === 'disk_full' && error.cause !== undefined && isDatabaseAway(error.cause)
}
