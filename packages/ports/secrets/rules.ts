import { SomaError } from '@soma/contracts/errors'
import { requireName, requireTenant } from '@soma/contracts/requirements'

const MAX_VALUE_BYTES = 1024 * 1024

/** @throws `invalid_input` */
export function requireSecret(tenant: string, name: string): void {
  requireTenant(tenant)
  requireName('name of the secret', name)
}

/** @throws `invalid_input` */
export function requirePrefix(tenant: string, prefix: string): void {
  requireTenant(tenant)
  if (prefix !== '') requireName('prefix of secret names', prefix)
}

/** @throws `invalid_input` */
export function requireVersion(version: number | undefined): void {
  if (version === undefined || (Number.isInteger(version) && version >= 1 && version < 2 ** 31)) return
  throw new SomaError('invalid_input', `${version} is no version of a secret. Versions are whole numbers from 1.`, { version })
}

/**
 * Says what is wrong with a value without saying the value.
 * @throws `invalid_input`
 */
export function requireValue(name: string, value: string): void {
  if (value === '') throw new SomaError('invalid_input', `The value of the secret "${name}" is empty. To remove a secret, delete it.`)
  const bytes = Buffer.byteLength(value)
  if (bytes > MAX_VALUE_BYTES) {
    throw new SomaError(
      'invalid_input',
      `The value of the secret "${name}" is ${bytes} bytes long; at most ${MAX_VALUE_BYTES} are allowed.`,
      { bytes },
    )
  }
  if (/\p{Surrogate}/u.test(value)) {
    throw new SomaError(
      'invalid_input',
      `The value of the secret "${name}" holds half a character (a lone surrogate). Encode binary values as base64.`,
    )
  }
}
