import { generateKeyPairSync } from 'node:crypto'
import { contentDigest, entryHash, GENESIS } from '@soma/contracts/journal'
import type { StoredEntry } from '@soma/ports/journal/port'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type SigningKey, toSigningKey } from '../keys/keys.ts'
import { type Checkpoint, checkpointDigest, entryLeaf, signCheckpoint } from './checkpoint.ts'
import { type LedgerHeader, type LedgerLine, readLine, writeLine } from './ledger-line.ts'
import { createMerkleRoot } from './merkle.ts'
import { makeLedger, written } from './testing.ts'
import { type LedgerTrust, type LedgerVerdict, verifyLedger } from './verify-ledger.ts'

/**
 * A thousand tamperings of a ledger of 100,000 entries, each a random one at a random place. What lies before the checkpoint ahead of a
 * tampering is as it was, so only the rest is verified, as the range it is; LEDGER_WHOLE=1 verifies all of it a thousand times (a quarter
 * of an hour). LEDGER_SEED repeats a run.
 */
const ENTRIES = Number(process.env.LEDGER_ENTRIES ?? 100_000)
const TAMPERINGS = Number(process.env.LEDGER_TAMPERINGS ?? 1000)
const SEED = Number(process.env.LEDGER_SEED ?? Date.now() % 2 ** 31)
const isWhole = process.env.LEDGER_WHOLE === '1'
const COVERED = 250
/** A tampering that reaches to the end of the ledger begins in its last checkpoints; else most of the time went into making it. */
const LATE = 8 * COVERED

const key = toSigningKey(generateKeyPairSync('ed25519').privateKey)
const forgersKey = toSigningKey(generateKeyPairSync('ed25519').privateKey)

const ledger = makeLedger({ entries: ENTRIES, streams: Math.ceil(ENTRIES / 100), covered: COVERED, key })
const lines = written(ledger)
const last = ledger.findLast((line): line is { checkpoint: Checkpoint } => 'checkpoint' in line)?.checkpoint as Checkpoint
const trust: LedgerTrust = { keys: [key.publicKey], known: last }
/** Numbers of the lines of each stream. */
const streams = new Map<string, number[]>()
for (const [number, line] of ledger.entries())
  if ('entry' in line) streams.set(line.entry.stream, [...(streams.get(line.entry.stream) ?? []), number])

interface Choice {
  at: number
  other: number
  count: number
}

/** What a tampering did: the lines as they are now, and the first that is not as it was. */
interface Tampered {
  lines: string[]
  first: number
  /** Where it must be told of: at that line, by the next checkpoint (the default), or only at the end of the ledger. */
  toldAt?: 'line' | 'end'
}

const entryAt = (number: number): StoredEntry => (readLine(lines[number] as string) as { entry: StoredEntry }).entry
const isEntry = (number: number) => lines[number]?.startsWith('{"entry"') === true
const isCheckpoint = (number: number) => lines[number]?.startsWith('{"checkpoint"') === true
const hasContent = (number: number) => isEntry(number) && lines[number]?.includes(',"payload":') === true

/** The next line at or after a place, round the end, of which something holds. */
function find(place: number, holds: (number: number) => boolean, from = 1): number {
  const size = lines.length - 1 - from
  for (let step = 0; step < size; step++) {
    const number = from + ((place + step) % size)
    if (holds(number)) return number
  }
  throw new Error('no such line')
}
const late = (place: number, holds: (number: number) => boolean) => find(place, holds, Math.max(1, lines.length - 1 - LATE))

function replaced(number: number, change: (entry: StoredEntry) => void): Tampered {
  const entry = entryAt(number)
  change(entry)
  return { lines: lines.with(number, writeLine({ entry })), first: number, toldAt: 'line' }
}

/** Links a stream anew from a line on, as a forger would who knows how it is done. */
function relinked(changed: string[], numbers: readonly number[], from: number): string[] {
  let head: StoredEntry | undefined
  for (const number of numbers) {
    const { entry } = readLine(changed[number] as string) as { entry: StoredEntry }
    if (number >= from) {
      entry.seq = (head?.seq ?? 0) + 1
      entry.prevHash = head?.hash ?? GENESIS
      entry.hash = entryHash(entry)
      changed[number] = writeLine({ entry })
    }
    head = entry
  }
  return changed
}

function withContent(entry: StoredEntry, text: string): StoredEntry {
  return { ...entry, text, digest: contentDigest(text, entry.salt) }
}

/** Gives an entry other content and makes everything fit that needs no key. */
function rewritten(number: number): string[] {
  const entry = entryAt(number)
  const changed = lines.with(number, writeLine({ entry: withContent(entry, '{"step":"forged"}') }))
  return relinked(changed, streams.get(entry.stream) as number[], number)
}

/** Signs every checkpoint from a line on anew, over what is there now. */
function resigned(changed: string[], from: number, by: SigningKey): string[] {
  const tree = createMerkleRoot()
  const start = changed.findLastIndex((line, number) => number < from && line.startsWith('{"checkpoint"'))
  let previous = start < 0 ? undefined : (readLine(changed[start] as string) as { checkpoint: Checkpoint }).checkpoint
  for (let number = start < 0 ? 1 : start + 1; number < changed.length; number++) {
    const line = readLine(changed[number] as string) as LedgerLine
    if ('entry' in line) tree.add(entryLeaf(line.entry))
    if (!('checkpoint' in line)) continue
    const { keyId: _, signature: __, ...rest } = line.checkpoint
    const before = previous ? checkpointDigest(previous) : GENESIS
    previous = signCheckpoint({ ...rest, previous: before, root: tree.root(), count: tree.count() }, by)
    changed[number] = writeLine({ checkpoint: previous })
    tree.clear()
  }
  return changed
}

const TAMPERINGS_BY_NAME: Record<string, (choice: Choice) => Tampered> = {
  'changes content': ({ at, other }) =>
    replaced(find(at, hasContent), (entry) => {
      const place = other % (entry.text as string).length
      const text = entry.text as string
      entry.text = `${text.slice(0, place)}${text[place] === 'q' ? 'z' : 'q'}${text.slice(place + 1)}`
    }),
  'changes content and its digest': ({ at }) =>
    replaced(find(at, hasContent), (entry) => void Object.assign(entry, withContent(entry, '{"step":"forged"}'))),
  'changes a field': ({ at, other }) =>
    replaced(find(at, isEntry), (entry) => {
      const fields = ['tenant', 'stream', 'seq', 'kind', 'at', 'digest', 'prevHash', 'hash'] as const
      const field = fields[other % fields.length] as (typeof fields)[number]
      if (field === 'seq') entry.seq += 1 + (other % 3)
      else if (/[hH]ash|digest/.test(field)) entry[field] = entry[field].replace(/^./, (digit) => (digit === '0' ? '1' : '0'))
      else entry[field] = `${entry[field]}x`
    }),
  'changes a position': ({ at }) => {
    const changed = replaced(find(at, isEntry), (entry) => {
      entry.position = String(BigInt(entry.position) + 1n)
    })
    // The hash does not cover it; the checkpoint does.
    return { ...changed, toldAt: undefined }
  },
  'changes the salt': ({ at }) =>
    replaced(find(at, hasContent), (entry) => {
      entry.salt = entry.salt?.replace(/^0/, '1')
    }),
  'adds a field': ({ at }) => {
    const first = find(at, isEntry)
    return {
      lines: lines.with(first, (lines[first] as string).replace('{"position"', '{"note":"approved","position"')),
      first,
      toldAt: 'line',
    }
  },
  'exchanges the content of two entries': ({ at, other }) => {
    const one = find(at, hasContent)
    const two = find(other, (number) => number !== one && hasContent(number))
    const [a, b] = [entryAt(one), entryAt(two)]
    const changed = lines.with(one, writeLine({ entry: { ...a, salt: b.salt, text: b.text } }))
    changed[two] = writeLine({ entry: { ...b, salt: a.salt, text: a.text } })
    return { lines: changed, first: Math.min(one, two), toldAt: 'line' }
  },
  'takes content away': ({ at }) => ({ ...replaced(late(at, hasContent), (entry) => void delete entry.text), toldAt: 'end' }),
  'removes entries': ({ at, count }) => {
    const first = find(at, isEntry)
    let end = first
    while (end - first < count && isEntry(end)) end++
    return { lines: lines.toSpliced(first, end - first), first }
  },
  'removes a checkpoint': ({ at }) => {
    const first = find(at, isCheckpoint)
    return { lines: lines.toSpliced(first, 1), first }
  },
  'removes the record of a redaction': ({ at }) => {
    const first = find(at, (number) => isEntry(number) && entryAt(number).kind === 'ledger.redacted')
    return { lines: lines.toSpliced(first, 1), first }
  },
  'exchanges two lines': ({ at, other }) => {
    const one = find(at, isEntry)
    const two = find(other, (number) => number !== one && isEntry(number))
    const changed = lines.with(one, lines[two] as string)
    changed[two] = lines[one] as string
    return { lines: changed, first: Math.min(one, two) }
  },
  'moves a line': ({ at, other }) => {
    const from = find(at, isEntry)
    const to = find(other, (number) => number !== from && number !== from + 1)
    const moved = lines.toSpliced(from, 1)
    return { lines: moved.toSpliced(to > from ? to - 1 : to, 0, lines[from] as string), first: Math.min(from, to) }
  },
  'repeats a line': ({ at, other }) => {
    const to = find(other, () => true)
    return { lines: lines.toSpliced(to, 0, lines[find(at, (number) => isEntry(number) || isCheckpoint(number))] as string), first: to }
  },
  'inserts an entry that fits its stream': ({ at, other }) => {
    const place = late(at, isEntry)
    const stream = entryAt(find(other, isEntry)).stream
    const before = (streams.get(stream) as number[]).findLast((number) => number < place)
    const head = before === undefined ? undefined : entryAt(before)
    const position = String(BigInt(entryAt(place).position) - 1n)
    const forged = withContent(
      {
        tenant: 'acme',
        stream,
        seq: (head?.seq ?? 0) + 1,
        kind: 'note',
        at: last.at,
        position,
        prevHash: head?.hash ?? GENESIS,
        digest: '',
        hash: '',
      },
      '"forged"',
    )
    forged.hash = entryHash(forged)
    const changed = lines.toSpliced(place, 0, writeLine({ entry: forged }))
    const numbers = (streams.get(stream) as number[]).map((number) => (number >= place ? number + 1 : number))
    return {
      lines: relinked(
        changed,
        [...numbers, place].toSorted((a, b) => a - b),
        place + 1,
      ),
      first: place,
    }
  },
  'computes a whole stream anew after a change': ({ at }) => {
    const first = find(at, hasContent)
    return { lines: rewritten(first), first }
  },
  'exchanges the names of two streams': ({ at, other }) => {
    const one = entryAt(find(at, isEntry)).stream
    const two = entryAt(find(other, (number) => isEntry(number) && entryAt(number).stream !== one)).stream
    const changed = [...lines]
    for (const [stream, name] of [
      [one, two],
      [two, one],
    ] as const) {
      const numbers = streams.get(stream) as number[]
      for (const number of numbers) changed[number] = writeLine({ entry: { ...entryAt(number), stream: name } })
      relinked(changed, numbers, 0)
    }
    return { lines: changed, first: Math.min(...[one, two].map((stream) => (streams.get(stream) as number[])[0] as number)) }
  },
  'gives a stream to another tenant': ({ at }) => {
    const numbers = streams.get(entryAt(find(at, isEntry)).stream) as number[]
    const changed = [...lines]
    for (const number of numbers) changed[number] = writeLine({ entry: { ...entryAt(number), tenant: 'globex' } })
    return { lines: relinked(changed, numbers, 0), first: numbers[0] as number, toldAt: 'line' }
  },
  'gives the ledger to another tenant': () => ({
    lines: lines.with(0, writeLine({ ...(ledger[0] as LedgerHeader), tenant: 'globex' })),
    first: 0,
  }),
  'changes a checkpoint': ({ at, other }) => {
    const first = find(at, isCheckpoint)
    const { checkpoint } = readLine(lines[first] as string) as { checkpoint: Checkpoint }
    const field = Object.keys(checkpoint)[other % Object.keys(checkpoint).length] as keyof Checkpoint
    const forged = { ...checkpoint, [field]: field === 'count' ? checkpoint.count + 1 : `${checkpoint[field]}0` } as Checkpoint
    return { lines: lines.with(first, writeLine({ checkpoint: forged })), first, toldAt: 'line' }
  },
  'moves a checkpoint': ({ at, count }) => {
    const from = find(at, (number) => isCheckpoint(number) && number > count + 1)
    return { lines: lines.toSpliced(from, 1).toSpliced(from - count, 0, lines[from] as string), first: from - count }
  },
  'signs anew with a key of its own': ({ at }) => {
    const first = late(at, hasContent)
    const changed = resigned(rewritten(first), first, forgersKey)
    const header = { ...(ledger[0] as LedgerHeader), keys: [{ id: forgersKey.id, publicKey: forgersKey.publicKey }] }
    return { lines: changed.with(0, writeLine(header)), first }
  },
  'signs anew with a key of its own under the right name': ({ at }) => {
    const first = late(at, hasContent)
    return { lines: resigned(rewritten(first), first, { ...forgersKey, id: key.id }), first }
  },
  'writes history anew with the right key': ({ at }) => {
    const first = late(at, hasContent)
    return { lines: resigned(rewritten(first), first, key), first, toldAt: 'end' }
  },
  'cuts the end off': ({ at }) => {
    const first = find(at, (number) => number > 1)
    return { lines: lines.slice(0, first), first }
  },
  'cuts the end off behind a checkpoint and ends it rightly': ({ at }) => {
    const place = find(at, (number) => isCheckpoint(number) && number < lines.length - 2)
    const { checkpoint } = readLine(lines[place] as string) as { checkpoint: Checkpoint }
    return { lines: [...lines.slice(0, place + 1), writeLine({ end: { through: checkpoint.through } })], first: place + 1, toldAt: 'end' }
  },
  'cuts the beginning off and hides it': ({ at }) => {
    const place = find(at, isCheckpoint)
    const { checkpoint } = readLine(lines[place] as string) as { checkpoint: Checkpoint }
    const after = { ...checkpoint, through: '0' }
    return { lines: [writeLine({ ...(ledger[0] as LedgerHeader), after }), ...lines.slice(place + 1)], first: 0 }
  },
}

/** The lines from the last checkpoint before a tampering on, as the range that they are. */
function rangeOf({ lines: tampered, first }: Tampered): { lines: string[]; skipped: number } {
  const start = tampered.findLastIndex((line, number) => number < first && line.startsWith('{"checkpoint"'))
  if (isWhole || first === 0 || start < 0) return { lines: tampered, skipped: 0 }
  const { checkpoint: after } = readLine(tampered[start] as string) as { checkpoint: Checkpoint }
  return { lines: [writeLine({ ...(ledger[0] as LedgerHeader), after }), ...tampered.slice(start + 1)], skipped: start }
}

/** Whether a problem is told of where it must be. */
function isTold({ problems: [problem] }: LedgerVerdict, { first, toldAt }: Tampered, skipped: number): boolean {
  const line = (problem?.line ?? 0) - 1 + skipped
  if (toldAt === 'end') return true
  // Moving the last line before a checkpoint, or that one itself, shows at the next.
  return line >= first - 1 && line <= first + (toldAt === 'line' ? 1 : 2 * COVERED + 2)
}

test('the ledger as it is verifies, whole and from any checkpoint on', async () => {
  expect(await verifyLedger(lines, trust)).toMatchObject({ ok: true, entries: ENTRIES, problems: [] })
  const range = rangeOf({ lines, first: Math.ceil(lines.length / 2) })
  expect(await verifyLedger(range.lines, trust)).toMatchObject({ ok: true })
  expect(range.skipped > 0).toBe(!isWhole)
})

describe(`${TAMPERINGS} tamperings of ${ENTRIES} entries, seed ${SEED}`, () => {
  const names = Object.keys(TAMPERINGS_BY_NAME)
  const choices = fc.sample(fc.record({ at: fc.nat(), other: fc.nat(), count: fc.integer({ min: 1, max: 5 }) }), {
    seed: SEED,
    numRuns: TAMPERINGS,
  })
  const found = new Map<string, number>()

  test.each(names)('one that %s is found, and where', { timeout: 3_600_000 }, async (name) => {
    const tamper = TAMPERINGS_BY_NAME[name] as (choice: Choice) => Tampered
    for (const choice of choices.filter((_, index) => index % names.length === names.indexOf(name))) {
      const tampered = tamper(choice)
      const { lines: range, skipped } = rangeOf(tampered)
      const verdict = await verifyLedger(range, trust, 1)
      const told = `seed ${SEED}, ${JSON.stringify(choice)}, line ${tampered.first + 1}: ${JSON.stringify(verdict.problems)}`
      expect(verdict.ok, told).toBe(false)
      expect(isTold(verdict, tampered, skipped), told).toBe(true)
      found.set(name, (found.get(name) ?? 0) + 1)
    }
  })

  test('all of them were found', () => {
    const sum = [...found.values()].reduce((total, count) => total + count, 0)
    process.stdout.write(`found ${sum} of ${TAMPERINGS} tamperings of ${names.length} sorts, seed ${SEED}\n`)
    expect(sum).toBe(TAMPERINGS)
    expect(found.size).toBe(Math.min(names.length, TAMPERINGS))
  })
})
