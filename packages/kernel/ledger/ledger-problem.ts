import type { StoredEntry } from '@soma/ports/journal/port'

/** What can be wrong with an export. */
export type ProblemKind =
  | 'not_a_ledger'
  | 'other_tenant'
  | 'content_changed'
  | 'content_missing'
  | 'entry_changed'
  | 'entries_missing'
  | 'entry_inserted'
  | 'entry_replaced'
  | 'reordered'
  | 'not_what_was_signed'
  | 'not_signed'
  | 'wrong_signature'
  | 'checkpoint_missing'
  | 'proof_wrong'
  | 'cut_off'
  | 'other_history'

export interface LedgerProblem {
  kind: ProblemKind
  /** What is wrong, with the place, for people. */
  message: string
  /** Line of the export where it shows, from 1. */
  line: number
  /** What is wrong lies between this line and `line`. */
  fromLine?: number
  position?: string
  stream?: string
  seq?: number
}

export type Place = Pick<StoredEntry, 'position' | 'stream' | 'seq'>
export type Report = (kind: ProblemKind, message: string, place?: Partial<Place> & { fromLine?: number }) => void

export function placeOf({ position, stream, seq }: Place): Place {
  return { position, stream, seq }
}
