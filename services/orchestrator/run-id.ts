import { randomBytes } from 'node:crypto'
import { sha256 } from '@soma/contracts/journal'

/** An id for a new run. The same idempotency key gives the same id, so a request that is sent again after a crash starts nothing twice. */
export function newRunId(kind: 'prj' | 'run', tenant: string, idempotencyKey: string | undefined): string {
  const unique =
    idempotencyKey === undefined
      ? `${Date.now().toString(36)}${randomBytes(4).toString('hex')}`
      : sha256(`${tenant}\n${idempotencyKey}`).slice(0, 16)
  return `${kind}-${unique}`
}
