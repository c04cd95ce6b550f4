import type { Journal, StoredEntry } from '@soma/ports/journal/port'
import type { Locks } from '@soma/ports/locks/port'
import { z } from 'zod'
import { createCheckpoints } from './checkpoints.ts'
import type { RedactionCause, Redactions } from './redact.ts'
import { coveringHold, type Retention, ruleFor } from './retention.ts'
import { storedEntries } from './stored-entries.ts'

const DAY = 86_400_000
/** Entries whose content goes in one step, and characters of it, at the most. */
const BATCH = { entries: 500, characters: 16 * 1024 * 1024 }
const CAUSE: RedactionCause = { cause: 'retention', reason: 'kept as long as the rules say', by: 'platform' }
/** Should a process die over it, another may go on after so long. */
const LEASE_MILLISECONDS = 60_000

/** What was, or would be, taken away. */
export const RetentionReport = z.object({
  isDryRun: z.boolean(),
  redacted: z.record(z.string(), z.number().int()).describe('Entries whose content went, by kind'),
  held: z.number().int().describe('Entries that are due but under a legal hold'),
  open: z.number().int().describe('Entries that are due but belong to a run that is not over'),
})
export type RetentionReport = z.infer<typeof RetentionReport>

/** Takes away what a tenant's rules no longer keep. Only what a signed checkpoint covers goes, so it stays proven that it was there. */
export interface RetentionWork {
  /** @returns undefined while another process is at it */
  apply(tenant: string, options?: { isDryRun?: boolean; now?: Date }): Promise<RetentionReport | undefined>
}

export function createRetentionWork({
  journal,
  locks,
  retention,
  redactions,
}: {
  journal: Journal
  locks: Pick<Locks, 'tryAcquire'>
  retention: Retention
  redactions: Redactions
}): RetentionWork {
  const checkpoints = createCheckpoints(journal)

  /** Kinds that have a rule, by how many days their content stays. */
  async function kindsByDays(tenant: string): Promise<Map<number, string[]>> {
    const rules = await retention.rules(tenant)
    const byDays = new Map<number, string[]>()
    if (rules.length === 0) return byDays
    for (const kind of await journal.kinds(tenant)) {
      const rule = ruleFor(rules, kind)
      if (rule) byDays.set(rule.days, [...(byDays.get(rule.days) ?? []), kind])
    }
    return byDays
  }

  /** The last checkpoint that was signed before a moment: everything that it and those before it cover is older than that. */
  async function lastBefore(tenant: string, moment: Date): Promise<string | undefined> {
    const last = await checkpoints.last(tenant)
    if (!last) return undefined
    const first = await checkpoints.first(tenant, last.number + 1, ({ at }) => at >= moment.toISOString())
    return (await checkpoints.get(tenant, (first?.number ?? last.number + 1) - 1))?.through
  }

  async function* due(tenant: string, now: Date): AsyncGenerator<StoredEntry> {
    for (const [days, kinds] of await kindsByDays(tenant)) {
      const through = await lastBefore(tenant, new Date(now.getTime() - days * DAY))
      if (through !== undefined) yield* storedEntries(journal, { tenant, after: '0', through, kinds, withContent: true })
    }
  }

  /** Of what is due, gives step by step what may go, and counts everything in the report. */
  async function* removable(tenant: string, now: Date, report: RetentionReport): AsyncGenerator<StoredEntry[]> {
    let holds = await retention.holds(tenant)
    const over = new Map<string, boolean>()
    let batch: StoredEntry[] = []
    let characters = 0
    for await (const entry of due(tenant, now)) {
      const { stream, kind, text = '' } = entry
      if (coveringHold(holds, stream)) {
        report.held++
        continue
      }
      const isOver = over.get(stream) ?? (await redactions.isOver(tenant, stream))
      over.set(stream, isOver)
      if (!isOver) {
        report.open++
        continue
      }
      report.redacted[kind] = (report.redacted[kind] ?? 0) + 1
      batch.push(entry)
      characters += text.length
      if (batch.length < BATCH.entries && characters < BATCH.characters) continue
      yield batch
      batch = []
      characters = 0
      // One may have been placed meanwhile.
      holds = await retention.holds(tenant)
    }
    yield batch
  }

  /** @returns undefined while another process is at it */
  async function remove(tenant: string, now: Date, report: RetentionReport): Promise<RetentionReport | undefined> {
    const lease = await locks.tryAcquire(`${tenant}/retention`, { ttlMilliseconds: LEASE_MILLISECONDS })
    if (!lease) return undefined
    try {
      for await (const entries of removable(tenant, now, report)) {
        await redactions.takeAway(tenant, entries, CAUSE)
        await lease.renew()
      }
      return report
    } finally {
      await lease.release()
    }
  }

  return {
    async apply(tenant, { isDryRun = false, now = new Date() } = {}) {
      const report: RetentionReport = { isDryRun, redacted: {}, held: 0, open: 0 }
      if (!isDryRun) return remove(tenant, now, report)
      for await (const _ of removable(tenant, now, report));
      return report
    },
  }
}
