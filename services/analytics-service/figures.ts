import { SomaError } from '@soma/contracts/errors'
import type { Analytics } from '@soma/ports/analytics/port'
import type { Sql } from '@soma/ports/sql/port'
import { z } from 'zod'
import { tableOf } from './projection.ts'

const count = z.number().int()

/** The first moment that counts, and the first that does not any more. */
export interface Window {
  from: Date
  to: Date
}

export const Summary = z.object({
  from: z.string(),
  to: z.string(),
  runs: z
    .object({ running: count, completed: count, failed: count, cancelled: count })
    .describe('Runs that somebody began in the window, by what became of them; runs within runs are not counted'),
  actions: z.object({ completed: count, failed: count, refused: count }).describe('Attempts of tool calls'),
  decisions: z
    .object({ allowed: count, denied: count, needsApproval: count })
    .describe('What the gate said, to requests as well as to tool calls; counted by the minute'),
  approvals: z.object({ requested: count, approved: count, rejected: count }),
  kills: z.object({ pulled: count, lifted: count }).describe('Kill switches'),
  spent: z.object({ calls: count, tokens: count, costMicros: count, seconds: z.number() }),
})
export type Summary = z.infer<typeof Summary>

export const OperationFigures = z.object({
  operation: z.string(),
  calls: count.describe('Attempts that reached the tool'),
  failures: count.describe('Those that ended with an error'),
  p50Milliseconds: z.number().nullable().describe('Of those that did not fail; null when all did'),
  p95Milliseconds: z.number().nullable(),
})
export type OperationFigures = z.infer<typeof OperationFigures>

export const ProjectFigures = z.object({
  id: z.string(),
  name: z.string(),
  status: z.enum(['running', 'done', 'failed', 'cancelled']),
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  seconds: z.number().nullable().describe('From start to end, waiting for people included'),
  deliverables: z
    .object({ planned: count, done: count, failed: count, blocked: count })
    .describe('blocked: policy did not let them begin when it was last asked'),
  calls: count,
  refused: count.describe('Tool calls that policy or a budget refused'),
  tokens: count,
  costMicros: count,
})
export type ProjectFigures = z.infer<typeof ProjectFigures>

export const ProjectTotals = z.object({
  from: z.string(),
  to: z.string(),
  projects: z.object({ running: count, done: count, failed: count, cancelled: count }).describe('Projects begun in the window'),
  successRate: z.number().nullable().describe('done / ended; null when none ended'),
  blockRate: z.number().nullable().describe('Deliverables that policy ever blocked / deliverables it was asked about'),
  meanScore: z.number().nullable().describe('Mean compliance score of the actions that were carried out'),
  meanSeconds: z.number().nullable().describe('Mean duration of the projects that ended'),
  deliverables: z.object({ planned: count, done: count, failed: count, blocked: count }),
  calls: count,
  tokens: count,
  costMicros: count,
})
export type ProjectTotals = z.infer<typeof ProjectTotals>

/** Where a page of projects begins: after this one, in the order newest first. */
export interface ProjectPlace {
  startedAt: Date
  id: string
}

/** Figures of one tenant. Every method throws `dependency_unavailable` while the store can't be asked or was not filled yet. */
export interface Figures {
  summary(tenant: string, window: Window): Promise<Summary>
  operations(tenant: string, window: Window): Promise<OperationFigures[]>
  projects(tenant: string, query: { after?: ProjectPlace; limit: number }): Promise<ProjectFigures[]>
  projectTotals(tenant: string, window: Window): Promise<ProjectTotals>
}

export function createFigures({ sql, analytics }: { sql: Sql; analytics: Analytics }): Figures {
  /** Every question is bound to a tenant here. A statement also says where, with `{tenant:String}`, for what it has to read. */
  async function ask<Row>(tenant: string, statement: string, parameters: Record<string, unknown>): Promise<Row[]> {
    const { rows } = await sql.platform.query<{ generation: string }>('select generation from analytics.progress')
    const generation = rows[0]?.generation
    if (!generation) throw unavailable('They were not gathered yet.')
    try {
      const facts = tableOf(generation)
      return await analytics.queryWithin<Row>({ tenant, table: facts }, statement, { ...parameters, tenant, facts })
    } catch (error) {
      const isOurMistake = SomaError.is(error, 'invalid_input') && error.details.type !== 'UNKNOWN_TABLE'
      throw isOurMistake ? error : unavailable('The analytics store does not answer.', error)
    }
  }

  return {
    async summary(tenant, window) {
      const [[runs], [rest]] = await Promise.all([
        ask<Summary['runs']>(tenant, RUNS, { ...window }),
        ask<Record<string, number>>(tenant, ENTRIES, { ...window }),
      ])
      return { ...asText(window), runs: runs as Summary['runs'], ...(nested(rest ?? {}) as Omit<Summary, 'from' | 'to' | 'runs'>) }
    },
    operations: (tenant, window) => ask<OperationFigures>(tenant, OPERATIONS, { ...window }),
    async projects(tenant, { after, limit }) {
      const parameters = { from: BEGINNING, to: END, after: after?.startedAt ?? END, afterId: after?.id ?? '', limit }
      const rows = await ask<ProjectRow>(tenant, `${PROJECTS} order by startedAt desc, id desc`, parameters)
      return rows.map(toProject)
    },
    async projectTotals(tenant, window) {
      const parameters = { ...window, after: END, afterId: '', limit: MOST_PROJECTS }
      const [row] = await ask<Record<string, number | null>>(tenant, PROJECT_TOTALS, parameters)
      return { ...asText(window), ...(nested(row ?? {}) as Omit<ProjectTotals, 'from' | 'to'>) }
    },
  }
}

const BEGINNING = new Date(0)
const END = new Date('2200-01-01')
const MOST_PROJECTS = 4_000_000_000

const IN_WINDOW = 'tenant = {tenant:String} and at >= {from:DateTime64(3)} and at < {to:DateTime64(3)}'

/** An end follows its beginning, so what began in the window has all its rows after the window's start. */
const RUNS = `
  select toFloat64(countIf(outcome = '')) as running, toFloat64(countIf(outcome = 'completed')) as completed,
    toFloat64(countIf(outcome = 'failed')) as failed, toFloat64(countIf(outcome = 'cancelled')) as cancelled
  from (
    select run, maxIf(substring(kind, 5), kind != 'run.started') as outcome
    from {facts:Identifier} final
    where tenant = {tenant:String} and kind in ('run.started', 'run.completed', 'run.failed', 'run.cancelled')
      and at >= {from:DateTime64(3)} and level = 'root'
    group by run
    having countIf(kind = 'run.started') > 0 and minIf(at, kind = 'run.started') < {to:DateTime64(3)}
  )`

const ENTRIES = `
  select
    toFloat64(countIf(kind = 'action.completed')) as \`actions.completed\`,
    toFloat64(countIf(kind = 'action.failed')) as \`actions.failed\`,
    toFloat64(countIf(kind = 'action.refused')) as \`actions.refused\`,
    toFloat64(sumIf(times, kind = 'gate.decided' and verdict = 'allow')) as \`decisions.allowed\`,
    toFloat64(sumIf(times, kind = 'gate.decided' and verdict = 'deny')) as \`decisions.denied\`,
    toFloat64(sumIf(times, kind = 'gate.decided' and verdict = 'needs_approval')) as \`decisions.needsApproval\`,
    toFloat64(countIf(kind = 'approval.requested')) as \`approvals.requested\`,
    toFloat64(countIf(kind = 'approval.approved')) as \`approvals.approved\`,
    toFloat64(countIf(kind = 'approval.rejected')) as \`approvals.rejected\`,
    toFloat64(countIf(kind = 'kill.pulled')) as \`kills.pulled\`,
    toFloat64(countIf(kind = 'kill.lifted')) as \`kills.lifted\`,
    toFloat64(sum(facts.calls)) as \`spent.calls\`,
    toFloat64(sum(facts.tokens)) as \`spent.tokens\`,
    toFloat64(sum(facts.cost_micros)) as \`spent.costMicros\`,
    round(sum(facts.seconds), 3) as \`spent.seconds\`
  from {facts:Identifier} as facts final where ${IN_WINDOW}`

const OPERATIONS = `
  select action as operation, toFloat64(count()) as calls, toFloat64(countIf(kind = 'action.failed')) as failures,
    if(calls = failures, null, toFloat64(quantileExactIf(0.5)(milliseconds, kind = 'action.completed'))) as p50Milliseconds,
    if(calls = failures, null, toFloat64(quantileExactIf(0.95)(milliseconds, kind = 'action.completed'))) as p95Milliseconds
  from {facts:Identifier} final
  where ${IN_WINDOW} and kind in ('action.completed', 'action.failed')
  group by action order by calls desc, operation`

/** A row a project, of those that began in the window and come after a place in the list. */
const PROJECTS = `
  with chosen as (
    select run, at, name from {facts:Identifier} final
    where ${IN_WINDOW} and kind = 'run.started' and workflow = 'project'
      and (at < {after:DateTime64(3)} or at = {after:DateTime64(3)} and run < {afterId:String})
    order by at desc, run desc limit {limit:UInt32}
  ),
  parts as (
    select root, deliverable,
      countIf(kind = 'gate.decided') > 0 as isPlanned,
      countIf(kind = 'gate.decided' and verdict = 'deny') > 0 as wasBlocked,
      argMaxIf(verdict, position, kind = 'gate.decided') = 'deny' as isBlocked,
      argMaxIf(kind, position, level = 'deliverable' and kind != 'run.started' and kind like 'run.%') as made,
      maxIf(status, level = 'root') as ended,
      maxIf(at, level = 'root' and kind != 'run.started' and kind like 'run.%') as endedAt,
      sum(entries.calls) as calls, countIf(kind = 'action.refused') as refused,
      sum(entries.tokens) as tokens, sum(entries.cost_micros) as cost,
      sumIf(score, kind = 'action.completed') as scores, countIf(kind = 'action.completed') as scored
    from {facts:Identifier} as entries final
    where tenant = {tenant:String} and root in (select run from chosen) and at >= (select min(at) from chosen)
    group by root, deliverable
  )
  select chosen.run as id, any(chosen.name) as name, any(chosen.at) as startedAt,
    max(parts.ended) as ended, max(parts.endedAt) as endedAt,
    toFloat64(countIf(isPlanned)) as planned, toFloat64(countIf(made = 'run.completed')) as done,
    toFloat64(countIf(made in ('run.failed', 'run.cancelled'))) as failed, toFloat64(countIf(isBlocked)) as blocked,
    toFloat64(countIf(wasBlocked)) as everBlocked,
    toFloat64(sum(parts.calls)) as calls, toFloat64(sum(parts.refused)) as refused,
    toFloat64(sum(parts.tokens)) as tokens, toFloat64(sum(parts.cost)) as costMicros,
    sum(parts.scores) as scores, toFloat64(sum(parts.scored)) as scored
  from chosen join parts on parts.root = chosen.run
  group by chosen.run`

const PROJECT_TOTALS = `
  select
    toFloat64(countIf(ended = '')) as \`projects.running\`, toFloat64(countIf(ended = 'done')) as \`projects.done\`,
    toFloat64(countIf(ended = 'failed')) as \`projects.failed\`, toFloat64(countIf(ended = 'cancelled')) as \`projects.cancelled\`,
    if(countIf(ended != '') = 0, null, countIf(ended = 'done') / countIf(ended != '')) as successRate,
    if(sum(planned) = 0, null, sum(everBlocked) / sum(planned)) as blockRate,
    if(sum(scored) = 0, null, sum(scores) / sum(scored)) as meanScore,
    if(countIf(ended != '') = 0, null,
      round(avgIf(toUnixTimestamp64Milli(endedAt) - toUnixTimestamp64Milli(startedAt), ended != '') / 1000, 3)) as meanSeconds,
    sum(planned) as \`deliverables.planned\`, sum(done) as \`deliverables.done\`, sum(failed) as \`deliverables.failed\`,
    sum(blocked) as \`deliverables.blocked\`,
    sum(projects.calls) as calls, sum(projects.tokens) as tokens, sum(projects.costMicros) as costMicros
  from (${PROJECTS}) as projects`

interface ProjectRow {
  id: string
  name: string
  startedAt: string
  ended: '' | 'done' | 'failed' | 'cancelled'
  endedAt: string
  planned: number
  done: number
  failed: number
  blocked: number
  calls: number
  refused: number
  tokens: number
  costMicros: number
}

function toProject(row: ProjectRow): ProjectFigures {
  const { id, name, ended, planned, done, failed, blocked, calls, refused, tokens, costMicros } = row
  const startedAt = timeOf(row.startedAt)
  const endedAt = ended === '' ? null : timeOf(row.endedAt)
  return {
    id,
    name,
    status: ended === '' ? 'running' : ended,
    startedAt: startedAt.toISOString(),
    endedAt: endedAt?.toISOString() ?? null,
    seconds: endedAt && (endedAt.getTime() - startedAt.getTime()) / 1000,
    deliverables: { planned, done, failed, blocked },
    calls,
    refused,
    tokens,
    costMicros,
  }
}

/** ClickHouse's `2026-01-31 23:59:59.123` is in UTC. */
function timeOf(text: string): Date {
  return new Date(`${text.replace(' ', 'T')}Z`)
}

function asText({ from, to }: Window): { from: string; to: string } {
  return { from: from.toISOString(), to: to.toISOString() }
}

/** `{ 'outer.inner': 1 }` as `{ outer: { inner: 1 } }`. */
function nested(row: Record<string, number | null>): Record<string, unknown> {
  const result: Record<string, Record<string, unknown> | number | null> = {}
  for (const [name, value] of Object.entries(row)) {
    const [outer, inner] = name.split('.') as [string, string | undefined]
    if (inner === undefined) result[outer] = value
    else result[outer] = { ...(result[outer] as Record<string, unknown> | undefined), [inner]: value }
  }
  return result
}

function unavailable(why: string, cause?: unknown): SomaError {
  return new SomaError(
    'dependency_unavailable',
    `Figures can not be read at present. ${why} Ask again soon.`,
    { retryAfterSeconds: 5 },
    { cause },
  )
}
