import { readFile } from 'node:fs/promises'
import type { KnownOperation } from '@soma/capsule/ajv'
import { capsuleDigest } from '@soma/capsule/digest'
import { parseCapsule } from '@soma/capsule/parse-capsule'
import { problemsError } from '@soma/capsule/problem'
import { type CapsuleSignature, verifyCapsule } from '@soma/capsule/signature'
import { type Capsule, StoredCapsule } from '@soma/contracts/capsule'
import { SomaError } from '@soma/contracts/errors'
import { describeOperations } from '@soma/kernel/actions/operation-catalogue'
import { z } from 'zod'
import { UsageError } from './session.ts'

export interface CapsuleFile {
  file: string
  yaml: string
  capsule: Capsule
  digest: string
}

/** Larger is no capsule. */
const MOST_BYTES = 1_000_000

/** Reads a capsule and checks it as the server does. @throws `capsule_invalid` with every problem and its place */
export async function readCapsuleFile(file: string): Promise<CapsuleFile> {
  const yaml = await readTextFile(file)
  const { capsule, problems } = parseCapsule(yaml, { file, operations: await knownOperations() })
  if (!capsule) throw problemsError('capsule_invalid', problems)
  return { file, yaml, capsule, digest: capsuleDigest(capsule) }
}

async function readTextFile(file: string): Promise<string> {
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(cause.code === 'ENOENT' ? `There is no file ${file}.` : `${file} can not be read (${cause.code}).`, { file })
  })
  if (bytes.length > MOST_BYTES)
    throw new SomaError('capsule_invalid', `${file} has ${bytes.length} bytes; a capsule has ${MOST_BYTES} at the most.`, { file })
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new SomaError('capsule_invalid', `${file} is not UTF-8 text. Save it as UTF-8.`, { file }, { cause })
  }
}

async function knownOperations(): Promise<readonly KnownOperation[]> {
  return describeOperations((await import('./adapters.ts')).ADAPTERS)
}

const SignatureFile = z.object({ capsule: z.string(), digest: z.string(), signatures: StoredCapsule.shape.signatures })
export type SignatureFile = z.infer<typeof SignatureFile>

/** Where a capsule's signatures are kept beside it. */
export function signatureFileOf(file: string): string {
  return `${file}.sig.json`
}

/** The signatures beside a capsule, checked; none when there is no such file. @throws `signature_invalid` */
export async function readSignatures({ file, capsule, digest }: CapsuleFile): Promise<CapsuleSignature[]> {
  const text = await readFile(signatureFileOf(file), 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (text === undefined) return []
  const parsed = SignatureFile.safeParse(parseJson(text))
  if (!parsed.success)
    throw new SomaError('signature_invalid', `${signatureFileOf(file)} holds no signatures. Delete it and sign again.`, { file })
  const { signatures, digest: signed } = parsed.data
  // By themselves: whether the keys are trusted is for the server to say.
  verifyCapsule(
    { capsule, digest: signed, signatures },
    signatures.map(({ publicKey }) => publicKey),
  )
  return digest === signed ? signatures : []
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
