import { SomaError } from '@soma/contracts/errors'
import type { ActivityContext, ActivityFunction } from '@soma/contracts/workflow'
import { isDatabaseAway } from '../../sql/failure.ts'
import type { Abortable } from './abortable.ts'

const DEFAULT_TIMEOUT = 10 * 60_000

/**
 * `unjudged`: the platform itself could not decide or record at present. Nothing is known of such an attempt, as of one whose process died,
 * so it is no failure of the activity: it is made again, under the same key, until the platform can.
 */
export type ActivityOutcome = { output: unknown } | { error: unknown } | { unjudged: unknown }

interface Attempt {
  name: string
  label?: string
  input: unknown
  /** Default 10 minutes. */
  timeoutMilliseconds?: number
  about: Omit<ActivityContext, 'signal'>
  /** Gives the attempt up from outside. */
  abortable: Abortable
}

/** One attempt at an activity. It ends by itself, when its time is over, or when it is given up. */
export async function attemptActivity(activities: Readonly<Record<string, ActivityFunction>>, attempt: Attempt): Promise<ActivityOutcome> {
  const { name, input, about, abortable, timeoutMilliseconds = DEFAULT_TIMEOUT } = attempt
  const activity = activities[name]
  if (!activity) return { error: unknownActivity(name, Object.keys(activities)) }
  const timer = setTimeout(() => abortable.abort(timedOut(attempt, timeoutMilliseconds)), timeoutMilliseconds)
  try {
    const work = activity(input, {
      ...about,
      get signal() {
        return abortable.signal
      },
    })
    return { output: await abortable.race(work) }
  } catch (error) {
    return isPlatformAway(error) ? { unjudged: error } : { error }
  } finally {
    clearTimeout(timer)
  }
}

function isPlatformAway(error: unknown): boolean {
  return SomaError.is(error, 'policy_unavailable') || SomaError.is(error, 'audit_unavailable') || isDatabaseAway(error)
}

function unknownActivity(name: string, known: readonly string[]): SomaError {
  return new SomaError('not_found', `No activity "${name}" is registered. There are: ${known.join(', ')}.`)
}

function timedOut({ label, name }: Attempt, timeout: number): SomaError {
  return new SomaError('tool_timeout', `${label ?? name} did not end within ${timeout} ms.`, { timeoutMilliseconds: timeout })
}
