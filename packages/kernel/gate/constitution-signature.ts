import { verify } from 'node:crypto'
import type { ConstitutionVersion } from '@soma/contracts/constitution-version'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import type { SigningKey } from '../keys/keys.ts'

type Signed = Pick<ConstitutionVersion, 'tenant' | 'version' | 'yaml' | 'digest' | 'keyId' | 'signature'>

/** What is signed. Tenant and version are part of it, so that no rules can be put in another's place, nor an old version in a new one's. */
function statementOf({ tenant, version, digest }: Pick<Signed, 'tenant' | 'version' | 'digest'>): string {
  return `soma constitution\n${tenant}\n${version}\n${digest}`
}

export function signConstitution(
  key: SigningKey,
  { tenant, version, yaml }: Pick<Signed, 'tenant' | 'version' | 'yaml'>,
): Pick<Signed, 'digest' | 'keyId' | 'signature'> {
  const digest = sha256(yaml)
  return { digest, keyId: key.id, signature: key.sign(statementOf({ tenant, version, digest })) }
}

/**
 * Called by whoever puts rules in force. Rules that the platform's key has not signed, for this tenant and as this version, never are.
 * @throws `signature_invalid`
 */
export function assertSigned(key: Pick<SigningKey, 'id' | 'publicKey'>, tenant: string, signed: Signed): void {
  const refuse = (why: string) =>
    new SomaError('signature_invalid', `Version ${signed.version} of the constitution of ${tenant} is not in force: ${why}.`, {
      tenant,
      version: signed.version,
    })
  if (signed.tenant !== tenant) throw refuse(`it is that of ${signed.tenant}`)
  if (sha256(signed.yaml) !== signed.digest) throw refuse('its text is not the one that was signed')
  if (signed.keyId !== key.id) throw refuse(`it is signed by ${signed.keyId}, which is not the platform's key`)
  const isGenuine = verify(null, Buffer.from(statementOf(signed)), key.publicKey, Buffer.from(signed.signature, 'base64url'))
  if (!isGenuine) throw refuse('its signature is wrong')
}
