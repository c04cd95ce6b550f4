import type { FastifyBaseLogger } from 'fastify'

export interface LifecycleOptions {
  logger: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
  /** How long all stoppers together may take. */
  deadlineMilliseconds: number
  /** Ends the process. */
  exit?: (code: number) => void
}

export interface Lifecycle {
  /** Registers what has to end; run in reverse order, so what was opened first closes last. */
  onStop(name: string, stopper: () => Promise<unknown>): void
  /** Runs every stopper once. True when all ended well and in time. Asking again gives the same stop. */
  stop(reason: string): Promise<boolean>
  /** SIGINT and SIGTERM stop the process; a second one ends it at once. Returns how to let go of the signals. */
  handleSignals(): () => void
}

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const

/** The end of a process, in order and within a deadline. */
export function createLifecycle({ logger, deadlineMilliseconds, exit = process.exit }: LifecycleOptions): Lifecycle {
  const stoppers: { name: string; run: () => Promise<unknown> }[] = []
  let stopped: Promise<boolean> | undefined

  const stop: Lifecycle['stop'] = (reason) => {
    stopped ??= stopAll(reason)
    return stopped
  }
  const stopAll = async (reason: string) => {
    logger.info({ reason }, 'stopping')
    const deadline = Date.now() + deadlineMilliseconds
    let isClean = true
    for (const { name, run } of stoppers.reverse()) {
      const outcome = await within(run, deadline - Date.now())
      if (outcome.ended) continue
      isClean = false
      if (outcome.error === undefined) logger.warn({ part: name }, 'did not stop in time and is left behind')
      else logger.error({ part: name, err: outcome.error }, 'did not stop cleanly')
    }
    logger.info({ clean: isClean }, 'stopped')
    return isClean
  }

  return {
    onStop: (name, run) => {
      stoppers.push({ name, run })
    },
    stop,
    handleSignals: () => {
      const handlers = Object.entries(SIGNALS).map(([signal, code]) => {
        const handler = () => {
          if (stopped) return exit(code)
          void stop(signal).then((isClean) => exit(isClean ? 0 : 1))
        }
        process.on(signal, handler)
        return () => process.off(signal, handler)
      })
      return () => {
        for (const letGo of handlers) letGo()
      }
    },
  }
}

/** After the deadline a part still gets a moment: the data folder's lock must be given up even when a request hangs. */
const LEAST_MILLISECONDS = 250

async function within(run: () => Promise<unknown>, milliseconds: number): Promise<{ ended: boolean; error?: unknown }> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<{ ended: boolean }>((resolve) => {
    timer = setTimeout(() => resolve({ ended: false }), Math.max(milliseconds, LEAST_MILLISECONDS))
  })
  const ending = (async () => run())().then(
    () => ({ ended: true }),
    (error: unknown) => ({ ended: false, error: error ?? new Error('rejected without a reason') }),
  )
  try {
    return await Promise.race([ending, late])
  } finally {
    clearTimeout(timer)
  }
}
