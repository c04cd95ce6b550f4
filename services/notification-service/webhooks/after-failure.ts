import { SomaError } from '@soma/contracts/errors'
import type { Claimed } from './webhook-store.ts'

const FIRST_PAUSE_SECONDS = 5
const LONGEST_PAUSE_SECONDS = 3600
/** After so long without one that arrived, nothing more is sent until somebody switches the webhook on again. */
const PATIENCE_HOURS = 72

/** What comes after an attempt that failed: a pause that doubles, and at last the end. */
export function afterFailure(
  { failures, failingSince }: Pick<Claimed, 'failures' | 'failingSince'>,
  error: unknown,
  now: Date,
): { pauseSeconds: number; offReason?: string } {
  const pauseSeconds = Math.min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** Math.min(failures, 20))
  // 410 is how a receiver says that it wants to hear no more (Standard Webhooks, "Operational considerations").
  if (error instanceof SomaError && error.details.status === 410) return { pauseSeconds, offReason: 'It answered that it is gone (410).' }
  const hours = failingSince ? (now.getTime() - failingSince.getTime()) / 3_600_000 : 0
  if (hours >= PATIENCE_HOURS) return { pauseSeconds, offReason: `Nothing arrived for ${PATIENCE_HOURS} hours.` }
  return { pauseSeconds }
}
