import { isDeepStrictEqual } from 'node:util'
import { SomaError } from '@soma/contracts/errors'
import type { Journal } from '../../journal/port.ts'
import { isEnd, type RecordedEntry, streamOf } from '../execution/record.ts'
import type { RunIndex } from '../execution/run-index.ts'
import type { RecordHead } from './protocol.ts'

/** What runs saw, on its way into the journal. Several may bring the same entries: each is written once. */
export function createRecordStore(journal: Journal, index: RunIndex) {
  async function append(head: RecordHead, entries: readonly RecordedEntry[]): Promise<void> {
    const stream = streamOf(head.runId, head.generation)
    const there = await journal.read(head.tenant, stream, { afterSeq: head.after, limit: entries.length })
    const differing = there.findIndex(({ kind, payload }, place) => !isSame({ kind, payload }, entries[place]))
    if (differing >= 0) {
      const seq = head.after + differing + 1
      throw new SomaError('stream_conflict', `The journal holds another entry ${seq} of ${stream} than Temporal.`, { stream, seq })
    }
    const missing = entries.slice(there.length)
    if (missing.length === 0) return
    try {
      await journal.append({ tenant: head.tenant, stream, expectedSeq: head.after + there.length, entries: missing })
    } catch (error) {
      if (!SomaError.is(error, 'stream_conflict')) throw error
      await append(head, entries)
    }
  }

  return {
    /** @returns the run's end, when it is among them @throws SomaError `stream_conflict` when the journal holds something else */
    async write(head: RecordHead, entries: readonly RecordedEntry[]): Promise<RecordedEntry | undefined> {
      await append(head, entries)
      const end = entries.findLast(isEnd)
      if (end || head.after === 0) {
        const stream = streamOf(head.runId, head.generation)
        index.note(await journal.read(head.tenant, stream, { afterSeq: head.after, limit: entries.length }))
        await index.flush()
      }
      return end?.kind === 'run.continued' ? undefined : end
    },
    async past({ tenant, runId, generation, after }: RecordHead): Promise<RecordedEntry[]> {
      const entries = await journal.read(tenant, streamOf(runId, generation), { afterSeq: 1, limit: after - 1 })
      return entries.map(({ kind, at, payload }) => ({ kind, at, payload }))
    },
  }
}

function isSame(there: { kind: string; payload: unknown }, ours: RecordedEntry | undefined): boolean {
  return ours !== undefined && there.kind === ours.kind && isDeepStrictEqual(there.payload, ours.payload)
}
