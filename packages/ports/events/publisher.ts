import { SomaError } from '@soma/contracts/errors'
import { appendOnce } from '../journal/append-once.ts'
import type { AppendRequest, Journal } from '../journal/port.ts'
import type { CloudEvent } from './port.ts'

/** Of the entries that carry what was published. */
export const PUBLISHED = 'event.published'

export type Publish = (topic: string, events: readonly CloudEvent[]) => Promise<void>

/**
 * Publishing is appending to the journal, whichever broker the events go to from there: durable at once, and with nobody else to wait for.
 * An event is a stream of its own, named after its id, so the journal's numbering of streams keeps an id from being added twice,
 * whoever publishes.
 */
export function createPublisher(journal: Journal): Publish {
  return async function publish(topic, events) {
    const appends = [...new Map(events.map((event) => [streamOf(topic, event), appendOf(topic, event)])).values()]
    if (appends.length === 0) return
    try {
      await journal.append(...appends)
    } catch (error) {
      if (!SomaError.is(error, 'stream_conflict')) throw error
      await Promise.all(appends.map((append) => appendOnce(journal, append)))
    }
  }
}

export const streamPrefix = (topic: string) => `events/${topic}/`

/** The topic that an entry of a publisher belongs to. */
export function topicOf(stream: string): string {
  return stream.slice('events/'.length, stream.indexOf('/', 'events/'.length))
}

const streamOf = (topic: string, event: CloudEvent) => `${streamPrefix(topic)}${event.partitionkey}/${event.id}`

function appendOf(topic: string, event: CloudEvent): AppendRequest & { expectedSeq: number } {
  return {
    tenant: event.partitionkey,
    stream: streamOf(topic, event),
    expectedSeq: 0,
    entries: [{ kind: PUBLISHED, payload: event }],
  }
}
