import type { Hours } from '@soma/contracts/constitution'

/** Minutes of a day. */
const DAY = 24 * 60
const WEEK = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

/** Days (1 is Monday), and the minutes of those days from which to which; the last is no longer in it. */
export type Span = [days: number[], from: number, to: number]

/** Hours as the evaluator compares them with a clock of their zone. Those that end on the next day become two spans. */
export function compileHours({ days, from, to, zone }: Hours): { zone: string; spans: Span[] } {
  const numbers = days.map((day) => WEEK.indexOf(day) + 1)
  const [begin, end] = [minuteOf(from), minuteOf(to)]
  if (begin < end) return { zone, spans: [[numbers, begin, end]] }
  const next = numbers.map((day) => (day % 7) + 1)
  return {
    zone,
    spans: [
      [numbers, begin, DAY],
      [next, 0, end],
    ],
  }
}

function minuteOf(time: string): number {
  const [hours, minutes] = time.split(':').map(Number) as [number, number]
  return hours * 60 + minutes
}

export interface Clock {
  /** 1 is Monday. */
  day: number
  /** Of the day. */
  minute: number
}

/** Formats are expensive to make. */
const formats = new Map<string, Intl.DateTimeFormat>()

/** What the clocks of these zones show. @param at ISO 8601; throws RangeError for what is no time */
export function clocksOf(zones: readonly string[], at: string): Record<string, Clock> {
  const time = new Date(at)
  return Object.fromEntries(zones.map((zone) => [zone, readClock(zone, time)]))
}

function readClock(zone: string, time: Date): Clock {
  const format =
    formats.get(zone) ??
    new Intl.DateTimeFormat('en-GB', { timeZone: zone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  formats.set(zone, format)
  const shown = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]))
  return {
    day: (WEEK as readonly string[]).indexOf(String(shown.weekday).toLowerCase()) + 1,
    minute: Number(shown.hour) * 60 + Number(shown.minute),
  }
}
