import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import { SignJWT } from 'jose'
import { packTar } from 'modern-tar'
import type { PolicyData } from '../port.ts'
import { checkPolicyData } from '../question.ts'

const DECISION = new URL('../../../../policies/decision.rego', import.meta.url)
/** Everything below `data.soma` is the bundle's. What else an OPA holds is its operator's. */
const ROOT = 'soma'
/** Name of the key in the OPA's configuration (`keys.soma`). */
const KEY_ID = 'soma'
const compress = promisify(gzip)

/** A file of a bundle, with its digest as OPA computes it. */
export interface BundleFile {
  name: string
  content: string
  digest: string
}

/** A signed bundle, as an OPA loads it. */
export interface Bundle {
  /** Names the content and the key; another bundle has another. */
  revision: string
  /** gzip of a tar. */
  archive: Uint8Array
}

/**
 * The private key that bundles are signed with. OPA takes no Ed25519, so it is an ECDSA one on P-256 (ES256).
 * @param pem PKCS #8
 * @throws invalid_input
 */
export function readBundleKey(pem: string): KeyObject {
  const refuse = (cause?: unknown) =>
    new SomaError(
      'invalid_input',
      'opa.signingKey must hold a private ECDSA key on P-256 as PEM. Make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256',
      {},
      { cause },
    )
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (cause) {
    throw refuse(cause)
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw refuse()
  return key
}

/** The rules of one version as a file, at `data.soma.policies[version]`. Made once for a version. @throws as `Policy.load` does */
export function policyFile(data: PolicyData): BundleFile {
  const { rules } = checkPolicyData(data)
  const { version } = data
  return jsonFile(`${ROOT}/policies/${version}/data.json`, { version, rules })
}

/** `policies/decision.rego`, which decides from the rules. */
export async function readDecisionFile(): Promise<BundleFile> {
  const content = await readFile(DECISION, 'utf8')
  return { name: `${ROOT}/decision.rego`, content, digest: sha256(content) }
}

/** Packs and signs files. @see https://www.openpolicyagent.org/docs/management-bundles#signing */
export async function packBundle(files: readonly BundleFile[], key: KeyObject): Promise<Bundle> {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' })
  const revision = sha256([publicKey, ...files.map(({ name, digest }) => `${name} ${digest}`).sort()].join('\n'))
  const all = [...files, jsonFile('.manifest', { revision, roots: [ROOT], rego_version: 1 })]
  const signature = await new SignJWT({ files: all.map(({ name, digest }) => ({ name, hash: digest, algorithm: 'SHA-256' })) })
    .setProtectedHeader({ alg: 'ES256', kid: KEY_ID })
    .sign(key)
  const signatures = JSON.stringify({ signatures: [signature] })
  const entries = [...all, { name: '.signatures.json', content: signatures }].map(({ name, content }) => ({
    header: { name, size: Buffer.byteLength(content) },
    body: content,
  }))
  return { revision, archive: await compress(await packTar(entries)) }
}

function jsonFile(name: string, document: Record<string, unknown>): BundleFile {
  const content = JSON.stringify(document)
  return { name, content, digest: sha256(asOpaHashes(JSON.parse(content))) }
}

/** JSON as OPA feeds it to the hash: keys in the order of their bytes, texts as Go writes them. */
function asOpaHashes(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(asOpaHashes).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value).replace(/[\u2028\u2029]/g, escapeUnit)
  const members = Object.entries(value).sort(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
  return `{${members.map(([key, member]) => `${asOpaHashes(key)}:${asOpaHashes(member)}`).join(',')}}`
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16)}`
}
