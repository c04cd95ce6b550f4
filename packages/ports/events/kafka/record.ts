import type { KafkaRecord } from '@platformatic/kafka'
import { CloudEvent } from '../port.ts'

/** The structured mode of CloudEvents' Kafka binding: the whole event as JSON is the value, and this header says so. */
const CONTENT_TYPE = Buffer.from('content-type')
const CLOUD_EVENT = Buffer.from('application/cloudevents+json; charset=UTF-8')
/** Where the event stands in the journal that it came from. A relay that takes over sees by it how far the one before had come. */
const POSITION = Buffer.from('soma-position')
/** Attributes of the binary mode, in which the value is the data alone. */
const ATTRIBUTE = 'ce_'

export interface EventRecord {
  key: Buffer
  value: Buffer
  headers: Map<Buffer, Buffer>
}

export function recordOf(event: CloudEvent, position: string): EventRecord {
  return {
    key: Buffer.from(event.partitionkey),
    value: Buffer.from(JSON.stringify(event)),
    headers: new Map([
      [CONTENT_TYPE, CLOUD_EVENT],
      [POSITION, Buffer.from(position)],
    ]),
  }
}

/** Undefined for a record of somebody else. */
export function positionOf({ headers }: Pick<KafkaRecord, 'headers'>): string | undefined {
  return headers.find(([name]) => name?.equals(POSITION))?.[1]?.toString()
}

/** The event in a record, whichever mode it is written in. @throws for a record that holds none */
export function eventOf({ key, value, headers }: Pick<KafkaRecord, 'key' | 'value' | 'headers'>): CloudEvent {
  const named = new Map(headers.map(([name, content]) => [String(name).toLowerCase(), String(content)]))
  const [mediaType = 'application/json'] = named.get('content-type')?.split(';') ?? []
  const body = value?.length ? JSON.parse(value.toString()) : null
  const event = mediaType.startsWith('application/cloudevents') ? body : fromBinaryMode(key, named, mediaType, body)
  CloudEvent.parse(event)
  return event
}

function fromBinaryMode(key: Buffer | null, headers: ReadonlyMap<string, string>, datacontenttype: string, data: unknown): unknown {
  const attributes = [...headers].filter(([name]) => name.startsWith(ATTRIBUTE)).map(([name, text]) => [name.slice(ATTRIBUTE.length), text])
  return { partitionkey: key?.toString(), ...Object.fromEntries(attributes), datacontenttype, data }
}
