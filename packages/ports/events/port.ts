import { z } from 'zod'

/** CloudEvents 1.0 in its JSON form. `partitionkey` is the tenant, so one tenant's events keep their order. */
export const CloudEvent = z.object({
  specversion: z.literal('1.0'),
  id: z.string(),
  source: z.string(),
  type: z.string(),
  subject: z.string().optional(),
  time: z.string(),
  datacontenttype: z.literal('application/json'),
  partitionkey: z.string(),
  data: z.unknown(),
})
export type CloudEvent = z.infer<typeof CloudEvent>

export interface ConsumeOptions {
  topic: string
  /** Consumers of one group share the work; each group sees every event. */
  group: string
  /** Where a new group begins. Default `earliest`. */
  from?: 'earliest' | 'latest'
  /** Called with events in order per key. At least once: an event whose handler threw comes again, then goes to the dead letters. */
  handler(event: CloudEvent): Promise<void>
  /** Attempts, with growing pauses between, before an event goes to the dead letters `<topic>.dead` as a `DeadLetter`. Default 5. */
  attempts?: number
}

export interface Events {
  /**
   * Resolves when the events are durable: all of them, or none when it rejects. An event id that the topic holds already for the
   * tenant is not added twice.
   * @throws `invalid_input` for a topic that is no name of a topic, and for what is no event or larger than MAX_EVENT_BYTES
   */
  publish(topic: string, events: readonly CloudEvent[]): Promise<void>
  /** `stop` lets the handler finish what it has in hand; what comes after that goes to whoever consumes next. */
  consume(options: ConsumeOptions): Promise<{ stop(): Promise<void> }>
  /** Sets a group back to the beginning. @throws `conflict` while somebody consumes */
  rewind(topic: string, group: string): Promise<void>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  close(): Promise<void>
}

/** Bytes of one event as JSON at the most, so that any broker takes it. What is larger belongs into objects. */
export const MAX_EVENT_BYTES = 1_000_000

/** What an event in `<topic>.dead` carries as its data. */
export const DeadLetter = z.object({
  topic: z.string(),
  group: z.string(),
  attempts: z.number().int(),
  error: z.object({ code: z.string().optional(), message: z.string() }),
  event: CloudEvent,
})
export type DeadLetter = z.infer<typeof DeadLetter>
