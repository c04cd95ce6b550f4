import { randomUUID } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { Journal } from '@soma/ports/journal/port'
import { z } from 'zod'
import { isOfKind, isOwnKind, KindPattern } from './redaction-record.ts'

/** Content of entries of a kind is taken away after so many days. */
export const RetentionRule = z.strictObject({ kind: KindPattern, days: z.number().int().min(1).max(36_500) })
export type RetentionRule = z.infer<typeof RetentionRule>

/** What a dispute or an investigation needs: nothing of it is taken away, whatever the rules say and whoever asks. */
export const LegalHold = z.object({
  id: z.string(),
  streams: z.array(z.string()).describe('What their names begin with; none: everything of the tenant'),
  reason: z.string(),
  by: z.string(),
  at: z.string(),
})
export type LegalHold = z.infer<typeof LegalHold>

/** A tenant's rules and holds, kept in the ledger itself, so that it says who set what when. */
export interface Retention {
  rules(tenant: string): Promise<RetentionRule[]>
  holds(tenant: string): Promise<LegalHold[]>
  /** Replaces all rules. @throws `invalid_input` for two rules on one kind */
  setRules(tenant: string, rules: readonly RetentionRule[], by: string): Promise<void>
  placeHold(tenant: string, hold: Pick<LegalHold, 'streams' | 'reason' | 'by'>): Promise<LegalHold>
  /** @throws `not_found` */
  liftHold(tenant: string, id: string, lift: { reason: string; by: string }): Promise<LegalHold>
}

const STREAM = 'retention'
const SET = 'ledger.retention_set'
const PLACED = 'ledger.hold_placed'
const LIFTED = 'ledger.hold_lifted'

export function createRetention(journal: Journal): Retention {
  const append = async (tenant: string, kind: string, payload: unknown) => {
    const [entry] = await journal.append({ tenant, stream: STREAM, expectedSeq: 'any', entries: [{ kind, payload }] })
    return entry?.at as string
  }

  async function holds(tenant: string): Promise<LegalHold[]> {
    const placed = new Map<string, LegalHold>()
    for (const { kind, payload, at } of await journal.read(tenant, STREAM)) {
      const hold = payload as LegalHold
      if (kind === PLACED) placed.set(hold.id, { ...hold, at })
      if (kind === LIFTED) placed.delete(hold.id)
    }
    return [...placed.values()]
  }

  return {
    holds,
    async rules(tenant) {
      const set = (await journal.read(tenant, STREAM)).findLast(({ kind }) => kind === SET)
      return set ? (set.payload as { rules: RetentionRule[] }).rules : []
    },
    async setRules(tenant, rules, by) {
      const twice = rules.find(({ kind }, index) => rules.findIndex((other) => other.kind === kind) !== index)
      if (twice) throw new SomaError('invalid_input', `There are two rules for ${twice.kind}.`, { kind: twice.kind })
      await append(tenant, SET, { rules, by })
    },
    async placeHold(tenant, { streams, reason, by }) {
      const hold = { id: randomUUID(), streams, reason, by }
      return { ...hold, at: await append(tenant, PLACED, hold) }
    },
    async liftHold(tenant, id, lift) {
      const hold = (await holds(tenant)).find((each) => each.id === id)
      if (!hold) throw new SomaError('not_found', `There is no legal hold ${id}.`, { id })
      await append(tenant, LIFTED, { id, ...lift })
      return hold
    },
  }
}

export function coveringHold(holds: readonly LegalHold[], stream: string): LegalHold | undefined {
  return holds.find(({ streams }) => streams.length === 0 || streams.some((prefix) => stream.startsWith(prefix)))
}

/** The rule for a kind: of several that fit the one that says most. */
export function ruleFor(rules: readonly RetentionRule[], kind: string): RetentionRule | undefined {
  if (isOwnKind(kind)) return undefined
  return rules
    .filter((rule) => isOfKind(kind, [rule.kind]))
    .reduce<RetentionRule | undefined>((best, rule) => (best && best.kind.length >= rule.kind.length ? best : rule), undefined)
}
