import type { ServiceContext } from '@soma/kernel/http/service'
import type { Journal } from '@soma/ports/journal/port'
import type { Projection } from './projection.ts'

/** Milliseconds. */
const DELAYS = {
  /** Before the first look. Loading the analytics store blocks the process for a third of a second, which must not delay its start. */
  first: 2000,
  /** After an append, so that what comes together is taken in together. */
  gather: 500,
  /** Between two looks when nobody said that something was appended. */
  idle: 5000,
  /** After a failure. */
  retry: 5000,
}

interface Parts extends Pick<ServiceContext, 'logger'> {
  projection: Pick<Projection, 'advance'>
  journal: Pick<Journal, 'onAppend'>
  delays?: typeof DELAYS
}

/** Keeps the projection up with the journal, in the background. A failure is told once and tried again. Returns how to stop. */
export function followJournal({ projection, journal, logger, delays = DELAYS }: Parts): () => Promise<void> {
  let isStopped = false
  let hasAppended = false
  let isFailing = false
  let hear: () => void = () => undefined
  const stopHearing = journal.onAppend(() => {
    hasAppended = true
    hear()
  })

  async function catchUp(): Promise<void> {
    try {
      while (!isStopped && (await projection.advance())) {}
      if (isFailing) logger.info('the figures follow the journal again')
      isFailing = false
    } catch (error) {
      if (!isFailing) logger.warn({ err: error }, 'the figures fall behind the journal, until they can be written again')
      isFailing = true
    }
  }

  /** Resolves when the time is over, when stopped, or when `isDue` says so after an append. */
  function pause(milliseconds: number, isDue: () => boolean = () => false): Promise<void> {
    if (isStopped || isDue()) return Promise.resolve()
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(end, milliseconds)
      timer.unref()
      hear = () => {
        if (isStopped || isDue()) end()
      }
    })
  }

  async function follow(): Promise<void> {
    await pause(delays.first)
    while (!isStopped) {
      hasAppended = false
      await catchUp()
      if (isFailing) await pause(delays.retry)
      else {
        await pause(delays.idle, () => hasAppended)
        await pause(delays.gather)
      }
    }
  }

  const following = follow()
  return async () => {
    isStopped = true
    stopHearing()
    hear()
    await following
  }
}
