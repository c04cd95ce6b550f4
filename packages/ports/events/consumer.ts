import type { JournalEntry } from '@soma/contracts/journal'
import type { Journal } from '../journal/port.ts'
import { createAttempts } from './attempts.ts'
import type { GroupLocks, Turn } from './group-locks.ts'
import { readPage } from './journal-page.ts'
import { pause } from './pause.ts'
import type { ConsumeOptions } from './port.ts'
import type { Publish } from './publisher.ts'
import type { Topics } from './views.ts'

/** Events that are read, handled and confirmed together. */
const PAGE = 200
/** Milliseconds between two looks at the journal when nothing says that there is something. */
const POLL = 1000
/** Appends come in bursts, most of them no events: milliseconds between hearing of one and looking. */
const SETTLE = 10
/** Milliseconds between two attempts to get a group that somebody else has. */
const STAND_BY = 250
/** Entries of others that are passed by before that is written down. */
const WORTH_NOTING = 10_000n

export interface Consumer {
  /** Says that there may be something to read. */
  wake(): void
  stop(): Promise<void>
}

export interface ConsumerParts {
  journal: Journal
  topics: Topics
  locks: GroupLocks
  publish: Publish
}

/** Works for a group whenever it gets the turn, until it is stopped. */
export function startConsumer({ journal, topics, locks, publish }: ConsumerParts, options: ConsumeOptions): Consumer {
  const { topic, group } = options
  const attempt = createAttempts(options, publish)
  const stopping = new AbortController()
  let hint = new AbortController()
  const done = work()

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const turn = await locks.take(topic, group)
        if (turn) await workInTurn(turn).finally(() => turn.release())
        else await pause(STAND_BY, stopping.signal)
      } catch (error) {
        process.emitWarning(`Consumer ${group} of ${topic} tries again in a second: ${error instanceof Error ? error.message : error}`)
        await pause(POLL, stopping.signal)
      }
    }
  }

  async function workInTurn(turn: Turn): Promise<void> {
    const goesOn = () => !stopping.signal.aborted && turn.isHeld()
    let noted = await turn.position()
    let position = noted
    while (goesOn()) {
      hint = new AbortController()
      const page = await readPage(journal, { ...topics.entriesOf(topic), after: position, limit: PAGE })
      const handled = await handlePage(page.entries, goesOn)
      const isDone = handled === page.entries.length
      position = isDone ? page.end : (page.entries[handled - 1]?.position ?? position)
      if (handled > 0 || BigInt(position) - BigInt(noted) > WORTH_NOTING) {
        await turn.moveTo(position)
        noted = position
      }
      if (isDone && page.isLast && goesOn()) {
        await pause(POLL, hint.signal)
        await pause(SETTLE, stopping.signal)
      }
    }
  }

  /** Keys go on side by side, each in its order. Returns how many events from the first on are done. */
  async function handlePage(page: readonly JournalEntry[], goesOn: () => boolean): Promise<number> {
    const finished = new Set<JournalEntry>()
    const keys = new Set(page.map((entry) => entry.tenant))
    const outcomes = await Promise.allSettled(
      [...keys].map(async (key) => {
        for (const entry of page.filter(({ tenant }) => tenant === key)) {
          if (!(await attempt(topics.eventOf(entry).event, { goesOn, stopping: stopping.signal }))) return
          finished.add(entry)
        }
      }),
    )
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed) throw failed.reason
    const firstOpen = page.findIndex((entry) => !finished.has(entry))
    return firstOpen === -1 ? page.length : firstOpen
  }

  return {
    wake: () => hint.abort(),
    async stop() {
      stopping.abort()
      hint.abort()
      await done
    },
  }
}
