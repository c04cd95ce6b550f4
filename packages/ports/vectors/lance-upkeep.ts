import type { Table } from '@lancedb/lancedb'

const TEXT_INDEX = 'text_idx'
const KEY_INDEX = 'key_idx'
/** Records that may wait outside the indexes, where a search goes through them one by one: this many, or a quarter of the others. */
const MAX_WAITING = 128
/** Each write makes a file that every search has to open. */
const MAX_WRITES = 50
/** Milliseconds for which a search that is under way may still need what was replaced. */
const KEEP_REPLACED = 60 * 1000

/** What keeps searching right and fast while a table is written to. To be told of each write, and waited for. */
export interface Upkeep {
  written(records: number): Promise<void>
  deleted(records: number): Promise<void>
}

/**
 * Makes the indexes that are missing, and from then on brings them up to date and merges files whenever enough was written.
 * With nothing at all in the full-text index, LanceDB cuts what it found off at the limit before it sorts it, so that is never left so.
 */
export async function startUpkeep(table: Table): Promise<Upkeep> {
  await makeIndexes(table)
  let state = await stateOf(table)

  const settle = async (): Promise<void> => {
    const isNothingIndexed = state.indexedAtLeast <= 0
    const isEnoughWaiting = state.waitingAtMost > Math.max(MAX_WAITING, state.indexedAtLeast / 4)
    if (state.waitingAtMost === 0) return
    if (!isNothingIndexed && !isEnoughWaiting && state.writes <= MAX_WRITES) return
    await table.optimize({ cleanupOlderThan: new Date(Date.now() - KEEP_REPLACED) })
    state = await stateOf(table)
  }

  await settle()
  return {
    written: async (records) => {
      state.indexedAtLeast -= records
      state.waitingAtMost += records
      state.writes++
      await settle()
    },
    deleted: async (records) => {
      state.indexedAtLeast -= records
      await settle()
    },
  }
}

async function makeIndexes(table: Table): Promise<void> {
  const { Index } = await import('@lancedb/lancedb')
  const there = new Set((await table.listIndices()).map((index) => index.name))
  if (!there.has(TEXT_INDEX)) {
    // Splits words by Unicode's rules, so that text without spaces is found too, and identifiers at their dots and underscores.
    await table.createIndex('text', { config: Index.fts({ baseTokenizer: 'icu/split', withPosition: false }) })
  }
  if (!there.has(KEY_INDEX)) await table.createIndex('key', { config: Index.btree() })
}

/** Counted once, then reckoned with: asking LanceDB after every write costs more than the write. */
async function stateOf(table: Table): Promise<{ indexedAtLeast: number; waitingAtMost: number; writes: number }> {
  const statistics = await table.indexStats(TEXT_INDEX)
  return { indexedAtLeast: statistics?.numIndexedRows ?? 0, waitingAtMost: statistics?.numUnindexedRows ?? 0, writes: 0 }
}
