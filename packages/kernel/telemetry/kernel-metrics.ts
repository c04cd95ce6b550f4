import { type ErrorCode, SomaError } from '@soma/contracts/errors'
import type { Decision } from '@soma/contracts/policy'
import type { Journal } from '@soma/ports/journal/port'
import { databaseFailure } from '@soma/ports/sql/failure'
import type { Sql } from '@soma/ports/sql/port'
import type { PerformAction } from '../actions/perform-action.ts'
import type { Budgets } from '../budgets/budgets.ts'
import type { Gate } from '../gate/gate.ts'
import type { Metrics } from './metrics.ts'
import { TENANT_ATTRIBUTE, type Tracing } from './tracing.ts'

/** The journal, its appends counted and timed. A conflict is an answer: somebody else owns the stream. */
export function measureJournal(journal: Journal, metrics: Metrics): Journal {
  const durations = metrics.histogram({ name: 'journal_append_duration_seconds', help: 'From an append to its being on disk.' })
  const failures = metrics.counter({ name: 'journal_append_failures_total', help: 'Appends that could not be written.', labels: ['code'] })
  // Prometheus sees no increase in a figure that it sees for the first time, so what alerts look at begins at 0.
  for (const code of ['audit_unavailable', 'disk_full']) failures.inc({ code }, 0)
  return {
    ...journal,
    append: (...requests) => {
      const observe = durations.startTimer()
      const appended = journal.append(...requests)
      appended.then(
        () => observe(),
        (error: unknown) => {
          const code = codeOf(error)
          if (code !== 'stream_conflict') failures.inc({ code })
        },
      )
      return appended
    },
  }
}

const VERDICTS = ['allow', 'deny', 'needs_approval', 'killed', 'unavailable'] as const
type Verdict = (typeof VERDICTS)[number]
const VERDICT_OF_ERROR: Partial<Record<ErrorCode, Verdict>> = {
  policy_denied: 'deny',
  forbidden: 'deny',
  approval_required: 'needs_approval',
  killed: 'killed',
}

/** The gate, its decisions counted and timed. `unavailable`: policy could not be asked or the decision not recorded, so it was a no. */
export function measureGate(gate: Gate, metrics: Metrics): Gate {
  const durations = metrics.histogram({ name: 'gate_decision_duration_seconds', help: 'From a question to the decision.' })
  const decisions = metrics.counter({ name: 'gate_decisions_total', help: 'Questions to the gate, by its answer.', labels: ['verdict'] })
  for (const verdict of VERDICTS) decisions.inc({ verdict }, 0)

  const measured =
    <Question>(decide: (question: Question) => Promise<Decision>) =>
    async (question: Question) => {
      const observe = durations.startTimer()
      let verdict: Verdict = 'unavailable'
      try {
        const decision = await decide(question)
        verdict = decision.verdict
        return decision
      } catch (error) {
        verdict = VERDICT_OF_ERROR[codeOf(error)] ?? 'unavailable'
        throw error
      } finally {
        observe()
        decisions.inc({ verdict })
      }
    }
  return { ...gate, ask: measured(gate.ask), pass: measured(gate.pass) }
}

/** Budgets, with what they refused counted. */
export function measureBudgets(budgets: Budgets, metrics: Metrics): Budgets {
  const refusals = metrics.counter({ name: 'budget_refusals_total', help: 'Reservations that a budget had too little left for.' })
  return {
    ...budgets,
    reserve: async (request) => {
      try {
        await budgets.reserve(request)
      } catch (error) {
        if (SomaError.is(error, 'budget_exceeded')) refusals.inc()
        throw error
      }
    },
  }
}

/** Actions, counted, timed and each in a span of its own, named as OpenTelemetry's conventions for agents say. */
export function measureActions(perform: PerformAction, { metrics, tracing }: { metrics: Metrics; tracing: Tracing }): PerformAction {
  const labels = ['tool', 'outcome']
  const actions = metrics.counter({
    name: 'tool_actions_total',
    help: 'Calls of operations, by how they ended: ok or the code of the error.',
    labels,
  })
  const durations = metrics.histogram({
    name: 'tool_action_duration_seconds',
    help: 'From the request of an action to its outcome.',
    labels: ['tool'],
  })

  return (request) => {
    const { operation, principal, context } = request
    const tool = operation.split('.')[0] as string
    const attributes = {
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': operation,
      [TENANT_ATTRIBUTE]: principal.tenant,
      'soma.run': context.run,
    }
    return tracing.inSpan(`execute_tool ${operation}`, attributes, async () => {
      const observe = durations.startTimer()
      let outcome = 'ok'
      try {
        return await perform(request)
      } catch (error) {
        outcome = codeOf(error)
        throw error
      } finally {
        // What no tool is called is not remembered as one.
        if (outcome !== 'unknown_tool') {
          actions.inc({ tool, outcome })
          observe({ tool })
        }
      }
    })
  }
}

/** What waits for a person, read from the database at every scrape. All processes say the same, so take the highest, not the sum. */
export function showStandstills({ platform }: Pick<Sql, 'platform'>, metrics: Metrics): void {
  const count = (table: string, condition: string) => async () => {
    const { rows } = await platform.query<{ count: number }>(`select count(*)::int as count from ${table} where ${condition}`)
    return rows[0]?.count ?? 0
  }
  metrics.gaugeOf(
    { name: 'approvals_waiting', help: 'Approvals that no person has decided, of all tenants.' },
    count('approvals.documents', "status = 'pending'"),
  )
  metrics.gaugeOf(
    { name: 'kill_switches_on', help: 'Kill switches that are on, of all tenants.' },
    count('kill.switches', 'lifted_at is null'),
  )
}

/**
 * How far what is published has fallen behind, read at every scrape. All processes say the same, so take the highest, not the sum.
 * @param lag in milliseconds
 */
export function showRelayLag(metrics: Metrics, lag: () => Promise<number>): void {
  metrics.gaugeOf(
    { name: 'events_relay_lag_seconds', help: 'How long the oldest entry of the journal has waited that is not in Kafka yet.' },
    async () => (await lag()) / 1000,
  )
}

function codeOf(error: unknown): ErrorCode {
  return (SomaError.is(error) ? error : databaseFailure(error))?.code ?? 'internal'
}
