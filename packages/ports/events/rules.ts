import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import { requireName, requireTenant } from '@soma/contracts/requirements'
import { z } from 'zod'
import { CloudEvent, type DeadLetter, MAX_EVENT_BYTES } from './port.ts'

/** What Kafka takes, with room for `.dead`. */
const TOPIC = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,242}$/
/** Characters of an error that a dead letter keeps. */
const LONGEST_ERROR = 4000

export function requireTopic(topic: string): void {
  if (TOPIC.test(topic)) return
  const shown = JSON.stringify(topic.slice(0, 60))
  throw new SomaError(
    'invalid_input',
    `${shown} is no topic. Use 1 to 243 letters, digits, dots, dashes and underscores, not a dot first.`,
    {
      topic,
    },
  )
}

export function requireEvent(event: CloudEvent): void {
  const parsed = CloudEvent.safeParse(event)
  if (!parsed.success) throw new SomaError('invalid_input', `This is no event. ${z.prettifyError(parsed.error)}`, { id: event?.id })
  requireName('id of an event', event.id)
  if (/[\n\r]/.test(event.id))
    throw new SomaError('invalid_input', `The event id ${JSON.stringify(event.id)} holds a line break. Remove it.`)
  requireTenant(event.partitionkey)
  const bytes = sizeOf(event)
  if (bytes > MAX_EVENT_BYTES) {
    throw new SomaError(
      'invalid_input',
      `The event ${event.id} has ${bytes} bytes as JSON; at most ${MAX_EVENT_BYTES} are allowed. Keep the content in objects and send its digest.`,
      { id: event.id, bytes },
    )
  }
}

export function requireAttempts(attempts = 1): void {
  if (Number.isInteger(attempts) && attempts >= 1) return
  throw new SomaError('invalid_input', `attempts is ${attempts}; it must be a whole number of at least 1.`, { attempts })
}

function sizeOf(event: CloudEvent): number {
  try {
    return Buffer.byteLength(JSON.stringify(event))
  } catch (cause) {
    throw new SomaError('invalid_input', `The event ${event.id} can not be written as JSON: it holds a circle or a bigint.`, {}, { cause })
  }
}

/** Milliseconds before an event that failed `attempt` times is tried again. */
export function retryPause(attempt: number): number {
  return Math.min(100 * 2 ** (attempt - 1), 30_000)
}

/** One a group and event: an event that dies again after a rewind is not added twice. */
export function deadLetter(from: Pick<DeadLetter, 'topic' | 'group' | 'attempts'>, event: CloudEvent, error: unknown): CloudEvent {
  const message = (error instanceof Error ? error.message : String(error)).slice(0, LONGEST_ERROR)
  const letter: DeadLetter = { ...from, error: { ...(error instanceof SomaError ? { code: error.code } : {}), message }, event }
  return {
    specversion: '1.0',
    id: sha256(`${from.group}\n${event.id}`),
    source: `events/${from.topic}`,
    type: 'soma.event.dead',
    subject: event.id,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    partitionkey: event.partitionkey,
    data: letter,
  }
}
