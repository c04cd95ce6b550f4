import { BudgetAmount } from '@soma/contracts/budget'
import type { JournalEntry } from '@soma/contracts/journal'
import { DELIVERABLE_START } from '@soma/kernel/approvals/approval'
import { z } from 'zod'

/** Changes when the rows that entries give change; the projection is then built anew. */
export const FACTS_VERSION = 1

/** Entries of the journal that figures are made of. */
export const FACT_KINDS = [
  'run.started',
  'run.completed',
  'run.failed',
  'run.cancelled',
  'action.completed',
  'action.failed',
  'action.refused',
  'gate.decided',
  'approval.requested',
  'approval.approved',
  'approval.rejected',
  'kill.pulled',
  'kill.lifted',
] as const

/** A row of the table of facts. What a kind does not have is left out. */
export type Fact = {
  tenant: string
  /** Of the entry; of several, of the first. */
  position: string
  /** ISO 8601. */
  at: string
  kind: string
  /** Entries that the row stands for. */
  times: number
  run?: string
  /** The run that somebody started, in which `run` is; a project's id. */
  root?: string
  /** `root`, `deliverable` (the run that makes one), `inner`. */
  level?: string
  deliverable?: string
  workflow?: string
  /** A project's name. */
  name?: string
  /** How a run ended; a project that came to its end may have `failed`. */
  status?: string
  /** What was called, decided about or asked for. */
  action?: string
  verdict?: string
  score?: number
  /** Of an error. */
  code?: string
  milliseconds?: number
  calls?: number
  tokens?: number
  cost_micros?: number
  seconds?: number
}

/** ReplacingMergeTree: a batch that is written again after a crash replaces itself. */
export const CREATE_FACTS = `
  create table if not exists {facts:Identifier} (
    tenant String, position UInt64, at DateTime64(3), kind LowCardinality(String), times UInt32,
    run String, root String, level LowCardinality(String), deliverable String, workflow LowCardinality(String), name String,
    status LowCardinality(String), action LowCardinality(String), verdict LowCardinality(String), score Nullable(Float64),
    code LowCardinality(String), milliseconds UInt64, calls UInt64, tokens UInt64, cost_micros UInt64, seconds Float64
  ) engine = ReplacingMergeTree order by (tenant, kind, at, position)`

const Started = z.object({ workflow: z.string(), generation: z.number(), input: z.object({ name: z.string() }).partial().catch({}) })
const Ended = z.object({
  error: z.object({ code: z.string() }),
  /** What a project gives back. */
  output: z.object({ id: z.string(), status: z.enum(['done', 'failed']), deliverables: z.array(z.unknown()) }),
})
const Called = z.object({
  operation: z.string(),
  milliseconds: z.number().int().min(0),
  spent: BudgetAmount,
  decision: z.object({ verdict: z.string(), score: z.number() }),
  error: z.object({ code: z.string() }),
})
const Decided = z.object({
  action: z.object({ name: z.string() }),
  decision: z.object({ verdict: z.string(), score: z.number() }),
  context: z.object({ project: z.string(), deliverable: z.string() }).partial(),
})
const Asked = z.object({ action: z.string(), run: z.string() })

/**
 * The rows that entries of the journal give. The same entries give the same rows. Decisions are counted by minute, action and verdict,
 * because every request makes one; those about deliverables stay apart.
 */
export function factsOf(entries: readonly JournalEntry[]): Fact[] {
  const facts: Fact[] = []
  const counted = new Map<string, Fact>()
  for (const entry of entries) {
    const fact = factOf(entry)
    if (!fact) continue
    const group = groupOf(fact)
    const first = group === undefined ? undefined : counted.get(group)
    if (first) {
      first.times++
      continue
    }
    if (group !== undefined) counted.set(group, fact)
    facts.push(fact)
  }
  return facts
}

function groupOf({ kind, root, tenant, at, action, verdict }: Fact): string | undefined {
  if (kind !== 'gate.decided' || root !== undefined) return undefined
  return [tenant, at.slice(0, 'yyyy-mm-ddThh:mm'.length), action, verdict].join('\n')
}

function factOf(entry: JournalEntry): Fact | undefined {
  const { tenant, position, at, kind, stream, payload } = entry
  const fields = fieldsOf(kind, stream, payload)
  return fields && { tenant, position, at, kind, times: 1, ...wellFormed(fields) }
}

type Fields = Omit<Fact, 'tenant' | 'position' | 'at' | 'kind' | 'times'>

function fieldsOf(kind: string, stream: string, payload: unknown): Fields | undefined {
  const [family] = kind.split('.')
  if (family === 'run') return runFields(kind, stream.split('/')[1] ?? '', payload)
  if (family === 'action') return actionFields(stream, payload)
  if (family === 'gate') return decisionFields(payload)
  if (family === 'approval') {
    const { action, run } = read(Asked, payload)
    return { action, ...(run === undefined ? {} : placeOf(run)) }
  }
  return {}
}

function runFields(kind: string, run: string, payload: unknown): Fields | undefined {
  const place = placeOf(run)
  if (kind === 'run.started') {
    const { workflow, generation = 1, input } = read(Started, payload)
    // A run that went on with an empty record is still the same run.
    return generation > 1 ? undefined : { ...place, workflow, name: workflow === 'project' ? input?.name : undefined }
  }
  const { error, output: project } = read(Ended, payload)
  return { ...place, status: project?.id === run ? project.status : kind.slice('run.'.length), code: error?.code }
}

function actionFields(stream: string, payload: unknown): Fields {
  const { operation, milliseconds, spent = {}, decision, error } = read(Called, payload)
  const run = /^action\/run\/([^/#]+)/.exec(stream)?.[1]
  return {
    ...(run === undefined ? {} : placeOf(run)),
    action: operation,
    code: error?.code,
    verdict: decision?.verdict,
    score: decision?.score,
    milliseconds,
    calls: spent.calls,
    tokens: spent.tokens,
    cost_micros: spent.costMicros,
    seconds: spent.seconds,
  }
}

function decisionFields(payload: unknown): Fields {
  const { action, decision, context } = read(Decided, payload)
  const counted: Fields = { action: action?.name, verdict: decision?.verdict }
  if (action?.name !== DELIVERABLE_START || context?.project === undefined) return counted
  return { ...counted, score: decision?.score, root: context.project, deliverable: context.deliverable }
}

/** Runs are named after the one they are part of: `project`, `project.deliverable`, `project.deliverable.r2` (again), and step numbers below. */
function placeOf(run: string): Fields {
  const [root, second, ...rest] = run.split('.')
  if (second === undefined) return { run, root, level: 'root' }
  if (!/^[a-z]/.test(second)) return { run, root, level: 'inner' }
  const isDeliverable = rest.length === 0 || (rest.length === 1 && /^r\d+$/.test(rest[0] as string))
  return { run, root, level: isDeliverable ? 'deliverable' : 'inner', deliverable: second }
}

/** Field by field: one that is missing or not of its shape is left out, so that no entry can hold up those after it. */
function read<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape>, payload: unknown): Partial<z.output<z.ZodObject<Shape>>> {
  const values = (payload ?? {}) as Record<string, unknown>
  const fields = Object.entries(schema.shape).flatMap(([name, field]) => {
    const value = values[name]
    // Making the error of a missing field would cost more than everything else here.
    if (value === undefined) return []
    const parsed = z.safeParse(field, value)
    return parsed.success ? [[name, parsed.data]] : []
  })
  return Object.fromEntries(fields) as Partial<z.output<z.ZodObject<Shape>>>
}

/** ClickHouse refuses text with half a surrogate pair, which JSON allows. */
function wellFormed(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => {
      if (value === undefined) return []
      return [[name, typeof value === 'string' ? value.toWellFormed() : value]]
    }),
  )
}
