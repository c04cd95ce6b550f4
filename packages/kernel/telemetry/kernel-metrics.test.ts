import { SomaError } from '@soma/contracts/errors'
import type { Decision } from '@soma/contracts/policy'
import { relayLag } from '@soma/ports/events/kafka/relay-lag'
import { EVENTS_MIGRATIONS } from '@soma/ports/events/migrations'
import type { Journal } from '@soma/ports/journal/port'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { expect, onTestFinished, test } from 'vitest'
import type { PerformAction } from '../actions/perform-action.ts'
import type { Budgets } from '../budgets/budgets.ts'
import type { Gate } from '../gate/gate.ts'
import { measureActions, measureBudgets, measureGate, measureJournal, showRelayLag, showStandstills } from './kernel-metrics.ts'
import { createMetrics } from './metrics.ts'
import { createTracing } from './tracing.ts'

const metrics = () => createMetrics({ processMetrics: false })
const failing = (code: SomaError['code']) => () => Promise.reject(new SomaError(code, 'no'))

test('each answer of the gate is counted under its verdict; what can not be asked is no answer', async () => {
  const figures = metrics()
  const allow: Decision = { verdict: 'allow', reasons: [], score: 1, obligations: [], policy: 'test' }
  const answers = [
    async () => allow,
    failing('policy_denied'),
    failing('approval_required'),
    failing('killed'),
    failing('policy_unavailable'),
    failing('internal'),
  ]
  for (const pass of answers) {
    const gate = measureGate({ pass, ask: pass } as unknown as Gate, figures)
    await gate.pass({} as Parameters<Gate['pass']>[0]).catch(() => undefined)
  }
  const denying = measureGate({ ask: async () => ({ ...allow, verdict: 'deny' }) } as unknown as Gate, figures)
  await denying.ask({} as Parameters<Gate['ask']>[0])
  const { text } = await figures.exposition()
  for (const [verdict, count] of Object.entries({ allow: 1, deny: 2, needs_approval: 1, killed: 1, unavailable: 2 }))
    expect(text).toContain(`gate_decisions_total{verdict="${verdict}"} ${count}`)
  expect(text).toContain('gate_decision_duration_seconds_count 7')
})

test('an append that could not be written is counted, a conflict is not, and both are thrown on', async () => {
  const figures = metrics()
  const append = (code: SomaError['code']) => measureJournal({ append: failing(code) } as unknown as Journal, figures).append()
  await expect(append('disk_full')).rejects.toThrow('no')
  await expect(append('stream_conflict')).rejects.toThrow('no')
  await measureJournal({ append: async () => [] } as unknown as Journal, figures).append()
  const { text } = await figures.exposition()
  expect(text).toContain('journal_append_failures_total{code="disk_full"} 1')
  expect(text).toContain('journal_append_failures_total{code="audit_unavailable"} 0')
  expect(text).not.toContain('stream_conflict')
  expect(text).toContain('journal_append_duration_seconds_count 1')
})

test('a reservation that finds too little is counted', async () => {
  const figures = metrics()
  const reserve = (code: SomaError['code']) =>
    measureBudgets({ reserve: failing(code) } as unknown as Budgets, figures).reserve({ tenant: 'acme', key: 'k', budgets: [], amount: {} })
  await expect(reserve('budget_exceeded')).rejects.toThrow('no')
  await expect(reserve('internal')).rejects.toThrow('no')
  expect((await figures.exposition()).text).toContain('budget_refusals_total 1')
})

test('an action is counted by its tool and outcome, and is a span of the tenant; an unknown tool is no tool', async () => {
  const figures = metrics()
  const tracing = await createTracing({ version: 'test', recentSpans: 10 })
  const perform = async (operation: string, work: () => Promise<unknown>) => {
    const measured = measureActions(work as unknown as PerformAction, { metrics: figures, tracing })
    const request = { operation, principal: { tenant: 'acme' }, context: { run: 'run-1' } } as Parameters<PerformAction>[0]
    await measured(request).catch(() => undefined)
  }
  await perform('git.inspect', async () => ({}))
  await perform('git.inspect', failing('tool_failed'))
  await perform('whatever.somebody.types', failing('unknown_tool'))
  const { text } = await figures.exposition()
  expect(text).toContain('tool_actions_total{tool="git",outcome="ok"} 1')
  expect(text).toContain('tool_actions_total{tool="git",outcome="tool_failed"} 1')
  expect(text).not.toContain('whatever')
  expect(tracing.recentSpans({ tenant: 'acme' }).map(({ name, status }) => ({ name, status }))).toContainEqual({
    name: 'execute_tool git.inspect',
    status: 'error',
  })
})

test('while the database does not answer there is no figure from it, and the others are shown', async () => {
  const figures = metrics()
  let answer: () => Promise<{ rows: { count: number }[] }> = async () => ({ rows: [{ count: 3 }] })
  showStandstills({ platform: { query: () => answer() } } as unknown as Parameters<typeof showStandstills>[0], figures)
  figures.counter({ name: 'other_total', help: 'Another.' }).inc()
  expect((await figures.exposition()).text).toMatch(/^approvals_waiting 3\nother|kill_switches_on 3/m)
  for (const away of [() => Promise.reject(new Error('away')), () => new Promise<never>(() => undefined)]) {
    answer = away
    const { text } = await figures.exposition()
    expect(text).not.toMatch(/^(approvals_waiting|kill_switches_on) /m)
    expect(text).toContain('other_total 1')
  }
})

test('how far the relay to Kafka is behind is seen, as the age of what it has not sent', async () => {
  const sql = await openTestSql()
  onTestFinished(() => sql.close())
  const journal = await openPostgresJournal(sql)
  onTestFinished(() => journal.close())
  await sql.migrate('events', EVENTS_MIGRATIONS)
  const figures = metrics()
  showRelayLag(figures, () => relayLag(sql))
  const lag = async () => Number(/^events_relay_lag_seconds (.+)$/m.exec((await figures.exposition()).text)?.[1])
  expect(await lag()).toBe(0)
  const entries = [{ kind: 'k', payload: {} }]
  const [sent] = await journal.append({ tenant: 'acme', stream: 's', expectedSeq: 0, entries })
  await journal.append({ tenant: 'acme', stream: 's', expectedSeq: 1, entries: [{ kind: 'k', payload: {}, at: minutesAgo(5) }] })
  await sql.platform.query(`insert into events.groups values ('kafka/relay', 'an-old-cluster', 0), ('kafka/relay', 'cluster', $1)`, [
    sent?.position,
  ])
  expect(await lag()).toBeGreaterThan(299)
  expect(await lag()).toBeLessThan(400)
  await sql.platform.query(`update events.groups set position = position + 1 where name = 'cluster'`)
  expect(await lag()).toBe(0)
})

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString()
