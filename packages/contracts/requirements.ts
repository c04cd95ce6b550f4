import { SomaError } from './errors.ts'
import { TenantId } from './tenant.ts'

/** Bytes of a name, key or channel at the most, as UTF-8. What is longer is hashed by whoever makes it. */
const MAX_NAME_BYTES = 512
/** A year and a day. */
const MAX_TIME_TO_LIVE = 366 * 24 * 60 * 60 * 1000
/** Bytes of one message or cached value at the most, as JSON. What is larger belongs into objects. */
const MAX_JSON_BYTES = 8 * 1024 * 1024

/**
 * A name that every backend can hold as it is: not empty, not endless, and no characters that would be changed on the way and so
 * make two names one (lone surrogates have no UTF-8, PostgreSQL has no NUL).
 * @param what for the message: `lock name`
 * @throws `invalid_input`
 */
export function requireName(what: string, name: string): void {
  if (name === '') throw new SomaError('invalid_input', `The ${what} is empty. Give it at least one character.`)
  const bytes = Buffer.byteLength(name)
  if (bytes > MAX_NAME_BYTES) {
    throw new SomaError(
      'invalid_input',
      `The ${what} "${name.slice(0, 40)}…" is ${bytes} bytes long; at most ${MAX_NAME_BYTES} are allowed. Shorten it, or use its hash.`,
      { bytes, limit: MAX_NAME_BYTES },
    )
  }
  if (!isStorableText(name)) {
    throw new SomaError('invalid_input', `The ${what} ${JSON.stringify(name)} holds a NUL or half a character. Remove it.`)
  }
}

/** @throws `invalid_input` */
export function requireTenant(tenant: string): void {
  const parsed = TenantId.safeParse(tenant)
  if (!parsed.success) {
    const shown = JSON.stringify(String(tenant).slice(0, 60))
    throw new SomaError('invalid_input', `${shown} is no tenant. ${parsed.error.issues[0]?.message ?? ''}`.trim(), { tenant })
  }
}

/** @throws `invalid_input` */
export function requireTimeToLive(what: string, milliseconds: number): void {
  if (Number.isInteger(milliseconds) && milliseconds >= 1 && milliseconds <= MAX_TIME_TO_LIVE) return
  throw new SomaError(
    'invalid_input',
    `${what} is ${milliseconds}; it must be a whole number of milliseconds from 1 to ${MAX_TIME_TO_LIVE} (366 days).`,
    { milliseconds },
  )
}

/**
 * The value as JSON text.
 * @param what for the message: `message on "runs"`
 * @throws `invalid_input` when JSON can't say it or it is too large; the value itself is not in the message
 */
export function requireJson(what: string, value: unknown): string {
  const json = stringify(what, value)
  if (json === undefined)
    throw new SomaError('invalid_input', `The ${what} is ${typeof value}, which JSON can not say. Use null, or leave it out.`)
  const bytes = Buffer.byteLength(json)
  if (bytes > MAX_JSON_BYTES) {
    throw new SomaError(
      'invalid_input',
      `The ${what} is ${bytes} bytes as JSON; at most ${MAX_JSON_BYTES} are allowed. Keep it in objects and send its digest.`,
      { bytes, limit: MAX_JSON_BYTES },
    )
  }
  return json
}

/** False when UTF-8 or PostgreSQL would not give back the same text. */
function isStorableText(text: string): boolean {
  return !/[\0\p{Surrogate}]/u.test(text)
}

function stringify(what: string, value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw new SomaError('invalid_input', `The ${what} can not be written as JSON: it holds a circle or a bigint.`, {}, { cause })
  }
}
