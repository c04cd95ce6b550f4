import { generateKeyPairSync, hash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { linesOf, openFile } from '@soma/cli/lines'
import { toSigningKey } from '@soma/kernel/keys/keys'
import { makeLedger, written } from '@soma/kernel/ledger/testing'
import { verifyLedger } from '@soma/kernel/ledger/verify-ledger'
import { memory, parametersOfChild, serve } from '../child.ts'

const { entries } = parametersOfChild<{ entries: number }>()
const key = toSigningKey(generateKeyPairSync('ed25519').privateKey)
const folder = await mkdtemp(join(tmpdir(), 'soma-bench-ledger-'))
const file = join(folder, 'ledger.jsonl')
const lines = written(makeLedger({ entries, streams: entries / 100, covered: 1000, key }))
await writeFile(file, `${lines.join('\n')}\n`)
/** Four texts of the lengths that an entry makes be hashed: its content, its link, its leaf of the Merkle tree and a node of that. */
const hashed = [300, 330, 75, 65].map((length) => 'x'.repeat(length))

/** Seconds of one core: what other processes do does not count. */
async function coreSeconds(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

const methods = {
  /** Entries a second of a core, from a file, as `soma audit verify FILE` does it. */
  async verify(): Promise<number> {
    const seconds = await coreSeconds(async () => {
      const verdict = await verifyLedger(linesOf(await openFile(file)), { keys: [key.publicKey] })
      if (!verdict.ok || verdict.entries !== entries) throw new Error(`the ledger does not verify: ${JSON.stringify(verdict.problems[0])}`)
    })
    return entries / seconds
  },
  /** The same for the hashes alone. */
  async floor(): Promise<number> {
    const seconds = await coreSeconds(async () => {
      for (let entry = 0; entry < entries; entry++) for (const text of hashed) hash('sha256', text, 'hex')
    })
    return entries / seconds
  },
  memory,
}
export type LedgerMethods = typeof methods

serve(methods, () => rm(folder, { recursive: true }))
