import { JournalEntry } from '@soma/contracts/journal'
import { z } from 'zod'
import { Checkpoint } from './checkpoint.ts'

const Position = z.string().regex(/^(0|[1-9]\d{0,18})$/)
const Hash = z.string().regex(/^[0-9a-f]{64}$/)

/** First line of an export. `checkpoint` is the newest there is: what it covers must follow. */
const Header = z.object({
  ledger: z.literal('soma/v1'),
  tenant: z.string(),
  scope: z.enum(['all', 'streams']),
  keys: z.array(z.object({ id: z.string(), publicKey: z.string() })),
  checkpoint: Checkpoint.optional(),
  exportedAt: z.string(),
})

const Entry = z.object({ entry: JournalEntry.extend({ position: Position }) })

/** In a whole export it stands behind the last entry that it covers. */
const CheckpointLine = z.object({ checkpoint: Checkpoint })

/** That an entry is the `index`th of those that the checkpoint through `through` covers. */
const Proof = z.object({
  proof: z.object({
    stream: z.string(),
    seq: z.number().int(),
    through: z.string(),
    index: z.number().int().min(0),
    path: z.array(Hash.nullable()).max(64),
  }),
})

/** A line of an export. The header comes before the checkpoint line: it names a checkpoint too, and the first that fits is taken. */
export const LedgerLine = z.union([Entry, Header, CheckpointLine, Proof])
export type LedgerLine = z.infer<typeof LedgerLine>
export type LedgerHeader = z.infer<typeof Header>
export type LedgerProof = z.infer<typeof Proof>['proof']
