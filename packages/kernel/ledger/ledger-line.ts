import type { StoredEntry } from '@soma/ports/journal/port'
import { z } from 'zod'
import { Checkpoint } from './checkpoint.ts'

const Position = z.string().regex(/^(0|[1-9]\d{0,18})$/)
const Hash = z.string().regex(/^[0-9a-f]{64}$/)

/** First line of an export: what follows, and how it is to be checked. */
const Header = z.strictObject({
  ledger: z.literal('soma/v1'),
  tenant: z.string(),
  scope: z
    .enum(['all', 'streams', 'entries'])
    .describe('all: every entry of a range; streams: whole streams, with proofs of their ends; entries: each with a proof of its own'),
  keys: z.array(z.strictObject({ id: z.string(), publicKey: z.string() })),
  kinds: z.array(z.string()).optional().describe('Contents of other kinds were left out'),
  after: Checkpoint.optional().describe('The checkpoint that the range begins behind; without it, it begins with the ledger'),
})

/** In a range it stands behind the last entry that it covers. */
const CheckpointLine = z.strictObject({ checkpoint: Checkpoint.extend({ after: Position, through: Position }) })

/** That an entry is the `index`th of those that the checkpoint through `through` covers. */
const ProofLine = z.strictObject({
  proof: z.strictObject({
    stream: z.string(),
    seq: z.number().int(),
    through: z.string(),
    index: z.number().int().min(0),
    path: z.array(Hash.nullable()).max(64),
  }),
})

/** Last line. A file without it was not written to its end. */
const EndLine = z.strictObject({ end: z.strictObject({ through: Position.describe('Of the last checkpoint; 0 when there is none') }) })

const OtherLine = z.union([CheckpointLine, Header, ProofLine, EndLine])

export type LedgerHeader = z.infer<typeof Header>
export type LedgerProof = z.infer<typeof ProofLine>['proof']
export type LedgerEnd = z.infer<typeof EndLine>['end']
export type LedgerLine = { entry: StoredEntry } | z.infer<typeof OtherLine>

/**
 * A line of an export. An entry's payload comes last and is the very text that its digest was made of, so whoever checks it neither parses
 * it nor has to write JSON the way we do.
 */
export function writeLine(line: LedgerLine): string {
  if (!('entry' in line)) return JSON.stringify(line)
  const { position, tenant, stream, seq, kind, at, digest, prevHash, hash, salt, text } = line.entry
  const fields = { position, tenant, stream, seq, kind, at, digest, prevHash, hash }
  if (text === undefined) return JSON.stringify({ entry: fields })
  return `${JSON.stringify({ entry: { ...fields, salt } }).slice(0, -2)},"payload":${text}}}`
}

/** @returns undefined for what is no line of an export */
export function readLine(line: string): LedgerLine | undefined {
  if (line.startsWith('{"entry":')) return readEntry(line)
  const { data } = OtherLine.safeParse(parse(line))
  return data
}

/** What JSON has between quotes, escapes included. */
const TEXT = String.raw`"([^"\\\n]*(?:\\[^][^"\\\n]*)*)"`
const HEX = '"([0-9a-f]+)"'
/**
 * An entry as `writeLine` begins it, to the letter: what stood beside its fields would not be covered by its hash and could say anything.
 * One expression instead of a parser and a schema, because there are as many of them as the ledger is long.
 */
const ENTRY = new RegExp(
  `^{"entry":{"position":"(0|[1-9]\\d{0,18})","tenant":${TEXT},"stream":${TEXT},"seq":([1-9]\\d{0,9}),"kind":${TEXT},"at":${TEXT},` +
    `"digest":${HEX},"prevHash":${HEX},"hash":${HEX}(?:(?:,"salt":"([0-9a-f-]+)")?(,"payload":))?`,
)

function readEntry(line: string): LedgerLine | undefined {
  const found = ENTRY.exec(line)
  if (!found?.[0] || !line.endsWith('}}')) return undefined
  const rest = line.slice(found[0].length, -2)
  const hasPayload = found[11] !== undefined
  if (hasPayload !== rest.length > 0) return undefined
  const entry = {
    position: found[1] as string,
    tenant: unquoted(found[2] as string),
    stream: unquoted(found[3] as string),
    seq: Number(found[4]),
    kind: unquoted(found[5] as string),
    at: unquoted(found[6] as string),
    digest: found[7] as string,
    prevHash: found[8] as string,
    hash: found[9] as string,
    salt: found[10],
    text: hasPayload ? rest : undefined,
  }
  return { entry }
}

/** What is escaped wrongly stays as it is, which no hash fits. */
function unquoted(text: string): string {
  return text.includes('\\') ? String(parse(`"${text}"`) ?? text) : text
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
