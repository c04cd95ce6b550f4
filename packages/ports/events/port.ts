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
  /** Attempts before an event goes to the dead letters `<topic>.dead`. Default 5. */
  attempts?: number
}

export interface Events {
  /** Resolves when the events are durable. An event id that the topic holds already is not added twice. */
  publish(topic: string, events: readonly CloudEvent[]): Promise<void>
  consume(options: ConsumeOptions): Promise<{ stop(): Promise<void> }>
  /** Sets a group back to the beginning; only while nobody consumes. */
  rewind(topic: string, group: string): Promise<void>
  close(): Promise<void>
}
