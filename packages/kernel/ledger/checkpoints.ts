import type { Journal } from '@soma/ports/journal/port'
import { CHECKPOINTS, type Checkpoint } from './checkpoint.ts'

const PAGE = 500

/** A checkpoint and its number in its stream, from 1. */
export interface NumberedCheckpoint {
  number: number
  checkpoint: Checkpoint
}

/** A tenant's checkpoints as the journal holds them. */
export function createCheckpoints(journal: Journal) {
  async function last(tenant: string): Promise<NumberedCheckpoint | undefined> {
    const entry = await journal.readLast(tenant, CHECKPOINTS)
    return entry && { number: entry.seq, checkpoint: entry.payload as Checkpoint }
  }

  async function from(tenant: string, number: number, limit: number): Promise<Checkpoint[]> {
    const entries = await journal.read(tenant, CHECKPOINTS, { afterSeq: number - 1, limit })
    return entries.map((entry) => entry.payload as Checkpoint)
  }

  return {
    last,
    async get(tenant: string, number: number): Promise<Checkpoint | undefined> {
      return number < 1 ? undefined : (await from(tenant, number, 1))[0]
    },
    /**
     * The first one for which it holds; then it holds for all that follow.
     * @param end search up to this number, which none needs to have
     */
    async first(tenant: string, end: number, holds: (checkpoint: Checkpoint) => boolean): Promise<NumberedCheckpoint | undefined> {
      let [low, high] = [1, end]
      let found: Checkpoint | undefined
      while (low < high) {
        const middle = Math.floor((low + high) / 2)
        const [checkpoint] = await from(tenant, middle, 1)
        if (checkpoint && !holds(checkpoint)) low = middle + 1
        else {
          high = middle
          found = checkpoint
        }
      }
      return found && { number: low, checkpoint: found }
    },
    async *range(tenant: string, first: number, last: number): AsyncGenerator<Checkpoint> {
      for (let number = first; number <= last; number += PAGE) yield* await from(tenant, number, Math.min(PAGE, last - number + 1))
    },
  }
}

export type Checkpoints = ReturnType<typeof createCheckpoints>
