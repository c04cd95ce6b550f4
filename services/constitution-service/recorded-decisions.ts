import { Decision, PolicyInput } from '@soma/contracts/policy'
import { DECIDED, GRANTS } from '@soma/kernel/gate/decision-log'
import type { Journal } from '@soma/ports/journal/port'
import { z } from 'zod'

/** Days that are looked back for decisions. */
const LONGEST_AGO = 30
const DAY = 86_400_000

/** A decision of the ledger, and the question that it answered as far as it was recorded. */
export interface RecordedDecision {
  position: string
  decision: Decision
  /** Undefined when the entry does not hold what must be known to ask again. */
  question?: PolicyInput
}

const Grants = z.object({ grants: z.string(), capabilities: z.array(z.string()), within: z.array(z.array(z.string())) })
const Decided = z.object({
  principal: z.looseObject({ grants: z.string().optional() }),
  action: z.looseObject({}),
  context: z.looseObject({}),
  decision: Decision,
})

/** The last decisions of a tenant, newest first. Those of today and, while they are too few, of the days before. */
export async function readDecisions(journal: Journal, tenant: string, last: number, now = new Date()): Promise<RecordedDecision[]> {
  const decisions: RecordedDecision[] = []
  for (let ago = 0; ago < LONGEST_AGO && decisions.length < last; ago++) {
    const day = new Date(now.getTime() - ago * DAY).toISOString().slice(0, 10)
    const streamPrefix = `gate/${day}/`
    const limit = last - decisions.length
    const entries = await journal.newest({ tenant, streamPrefix, kinds: [DECIDED], limit })
    if (entries.length === 0) continue
    // A stream tells what principals held before the first decision that names it.
    const told = await journal.newest({ tenant, streamPrefix, kinds: [GRANTS], limit: 10_000 })
    const held = new Map(
      told.flatMap(({ payload }) => {
        const { data } = Grants.safeParse(payload)
        return data ? [[data.grants, data] as const] : []
      }),
    )
    decisions.push(...entries.map(({ position, at, payload }) => ({ position, ...readEntry(tenant, at, payload, held) })))
  }
  return decisions
}

function readEntry(
  tenant: string,
  at: string,
  payload: unknown,
  held: ReadonlyMap<string, z.output<typeof Grants>>,
): Omit<RecordedDecision, 'position'> {
  const { principal, action, context, decision } = Decided.parse(payload)
  const grants = principal.grants === undefined ? undefined : held.get(principal.grants)
  if (!grants) return { decision }
  const { capabilities, within } = grants
  const question = PolicyInput.safeParse({ principal: { ...principal, tenant, capabilities, within }, action, context: { ...context, at } })
  return { decision, question: question.data }
}
