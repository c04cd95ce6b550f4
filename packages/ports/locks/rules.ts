import { hostname } from 'node:os'
import { SomaError } from '@soma/contracts/errors'
import { requireName, requireTimeToLive } from '@soma/contracts/requirements'

/** @throws `invalid_input` */
export function requireLock(name: string, ttlMilliseconds: number, holder: string): void {
  requireName('lock name', name)
  requireName('lock holder', holder)
  requireTimeToLive(`ttlMilliseconds of the lock "${name}"`, ttlMilliseconds)
}

/** @throws `invalid_input` */
export function requirePatience(waitMilliseconds: number): void {
  if (waitMilliseconds >= 0) return
  throw new SomaError('invalid_input', `waitMilliseconds is ${waitMilliseconds}; it must be 0 or more.`, { waitMilliseconds })
}

/** Who holds a lock, when its caller does not say. */
export function thisProcess(): string {
  return `${hostname()}:${process.pid}`
}
