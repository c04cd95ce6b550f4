import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import { EVERY_TENANT, type Journal } from '../journal/port.ts'
import type { CloudEvent } from './port.ts'
import { PUBLISHED, streamPrefix, topicOf } from './publisher.ts'

/** A topic whose events are entries that the journal holds anyway: nobody publishes them, and nothing is written twice. */
export interface TopicView {
  topic: string
  /** Kinds of the entries. One kind belongs to one topic. */
  kinds: readonly string[]
  toEvent(entry: JournalEntry): CloudEvent
}

type Query = Omit<Parameters<Journal['tail']>[0], 'after' | 'limit'>

/** Which entries of the journal are events, of which topic. */
export interface Topics {
  /** @throws `invalid_input` for a topic that takes no events, as it shows what the journal holds anyway */
  requirePublishable(topic: string): void
  /** Selects the entries of one topic. */
  entriesOf(topic: string): Query
  /** Selects the entries of all topics. */
  everyEntry: Query
  eventOf(entry: JournalEntry): { topic: string; event: CloudEvent }
}

export function createTopics(views: readonly TopicView[]): Topics {
  const byTopic = new Map(views.map((view) => [view.topic, view]))
  const byKind = new Map(views.flatMap((view) => view.kinds.map((kind) => [kind, view] as const)))
  return {
    requirePublishable(topic) {
      if (!byTopic.has(topic)) return
      throw new SomaError('invalid_input', `The topic "${topic}" is written by the platform itself. Publish to another one.`, { topic })
    },
    entriesOf(topic) {
      const view = byTopic.get(topic)
      return { tenant: EVERY_TENANT, ...(view ? { kinds: view.kinds } : { streamPrefix: streamPrefix(topic) }) }
    },
    everyEntry: { tenant: EVERY_TENANT, kinds: [PUBLISHED, ...byKind.keys()] },
    eventOf(entry) {
      const view = byKind.get(entry.kind)
      return view ? { topic: view.topic, event: view.toEvent(entry) } : { topic: topicOf(entry.stream), event: entry.payload as CloudEvent }
    },
  }
}
