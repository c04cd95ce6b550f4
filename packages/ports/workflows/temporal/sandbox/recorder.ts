import { proxyActivities } from '@temporalio/workflow'
import { asRecorded, type RecordedEntry } from '../../execution/record.ts'
import type { RecordActivities, RecordHead, RunStart, UnrecordedPart } from '../protocol.ts'

/** More than this and the record is written although the run goes on: a part of it must fit one call. */
const LONGEST_PART = { entries: 100, characters: 500_000 }

export type Recorder = ReturnType<typeof createRecorder>

/**
 * Keeps what the run saw until it is in the journal. The order is the one in which the workflow saw it, which Temporal repeats
 * whenever it replays; an entry is written only once Temporal holds all that led to it.
 */
export function createRecorder(start: RunStart) {
  const { tenant, runId, generation } = start
  const { 'soma.record': append, 'soma.past': readPast } = proxyActivities<RecordActivities>({
    // Short work without a sign of life: done twice at worst, which changes nothing.
    startToCloseTimeout: start.lossMilliseconds,
    retry: { initialInterval: 100, maximumInterval: 10_000 },
  })
  let unrecorded: RecordedEntry[] = []
  let characters = 0
  let recorded = start.recorded
  let writing: Promise<void> | undefined
  const head = (after: number): RecordHead => ({ tenant, runId, generation, after })

  async function write(): Promise<void> {
    const part = unrecorded
    characters = 0
    await append(head(recorded), ...part)
    recorded += part.length
    unrecorded = unrecorded.slice(part.length)
  }

  function flush(): Promise<void> {
    writing ??= write().finally(() => {
      writing = undefined
    })
    return writing
  }

  return {
    add(kind: string, payload: unknown, at = Date.now()): RecordedEntry {
      const entry = { kind, at: new Date(at).toISOString(), payload: asRecorded(payload) }
      unrecorded = [...unrecorded, entry]
      characters += JSON.stringify(entry.payload).length
      return entry
    },
    get recorded() {
      return recorded
    },
    get isComplete() {
      return unrecorded.length === 0
    },
    /** The record is long enough to be worth a call. */
    get isLong() {
      return unrecorded.length >= LONGEST_PART.entries || characters >= LONGEST_PART.characters
    },
    /** Begins to write what there is, unless that is under way. */
    flush: () => void flush(),
    async complete(): Promise<void> {
      while (unrecorded.length > 0) await flush()
    },
    /** The record of the run that continues this one under its id. */
    async begin(next: RunStart, entry: RecordedEntry): Promise<void> {
      await append({ tenant, runId, generation: next.generation, after: 0 }, entry)
    },
    past: () => (recorded > 1 ? readPast(head(recorded)) : Promise.resolve([])),
    unrecordedPart: (): UnrecordedPart => ({ head: head(recorded), entries: unrecorded }),
  }
}
