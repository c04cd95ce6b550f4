import type { BudgetAmount } from '@soma/contracts/budget'
import { Deliverable, Plan } from '@soma/contracts/project'
import { covers } from '@soma/contracts/tenant'
import { z } from 'zod'
import { type KnownOperation, schemaFault } from './ajv.ts'
import { checkExpressions, expressionFaults, type KnownScope } from './check-expressions.ts'
import { findCycles } from './dag.ts'
import { deliverableGraph } from './dependencies.ts'
import { hasExpression } from './expression.ts'
import { allowsCapsule } from './permissions.ts'
import { type Finding, type Problem, suggest } from './problem.ts'
import { checkShape, soundPart } from './shape.ts'
import { readYaml } from './yaml-source.ts'

export interface ParsePlanOptions {
  operations: readonly KnownOperation[]
  /** Names of the personas there are; without them, any is taken. */
  personas?: readonly string[]
  /** References of the capsules there are; without them, any is taken. */
  capsules?: readonly string[]
  file?: string
}

/**
 * Reads a plan, as YAML or a value, and finds everything wrong with it at once.
 * @returns the plan only when there is no problem
 */
export function parsePlan(source: string | Record<string, unknown>, options: ParsePlanOptions): { plan?: Plan; problems: Problem[] } {
  if (typeof source !== 'string') {
    const { plan, findings } = readPlan(source, options)
    const problems = findings.map(({ isKey: _, at: __, ...finding }) => ({ ...finding, line: 0, column: 0 }))
    return problems.length === 0 ? { plan, problems } : { problems }
  }
  const yaml = readYaml(source, options.file)
  if (yaml.value === undefined) return { problems: yaml.problems }
  const { plan, findings } = readPlan(yaml.value, options)
  const problems = [...yaml.problems, ...findings.map(yaml.locate)].sort((a, b) => a.line - b.line || a.column - b.column)
  return problems.length === 0 ? { plan, problems } : { problems }
}

/** Deliverables that hold to the shape, each with its place in the list, and the ids of all. */
interface PlanDraft {
  deliverables: { deliverable: Deliverable; index: number }[]
  ids: string[]
  scope: KnownScope
}

function readPlan(value: unknown, options: ParsePlanOptions): { plan?: Plan; findings: Finding[] } {
  const whole = checkShape(Plan.extend({ deliverables: z.array(z.unknown()).min(1) }), value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { findings: whole.findings }
  const raw = value as Record<string, unknown>
  const shapes = Array.isArray(raw.deliverables) ? raw.deliverables.map(readDeliverable) : []
  const inputs = whole.value?.inputs ?? {}
  const ids = [...new Set(shapes.flatMap(({ id }) => (id === undefined ? [] : [id])))]
  const draft: PlanDraft = {
    deliverables: shapes.flatMap(({ deliverable }, index) => (deliverable ? [{ deliverable, index }] : [])),
    ids,
    scope: {
      inputs: whole.value
        ? { names: Object.keys((inputs.properties as object | undefined) ?? {}), code: 'unknown_input', kind: 'Inputs' }
        : {},
      deliverables: { names: ids, code: 'unknown_deliverable', kind: 'Deliverables' },
    },
  }
  const findings = [...whole.findings, ...shapes.flatMap((shape) => shape.findings), ...checkInputs(inputs)]
  findings.push(...checkIds(draft))
  for (const { deliverable, index } of draft.deliverables) findings.push(...checkDeliverable(deliverable, index, draft, options))
  findings.push(...checkCycles(draft, findings))
  if (!whole.value) return { findings }
  findings.push(...checkBudget(whole.value.budget, draft))
  findings.push(...checkCapsule(whole.value.report?.capsule, ['report', 'capsule'], 'The report', options.capsules))
  return { plan: { ...whole.value, deliverables: draft.deliverables.map(({ deliverable }) => deliverable) }, findings }
}

function readDeliverable(raw: unknown, index: number): { id?: string; deliverable?: Deliverable; findings: Finding[] } {
  const path = ['deliverables', index]
  const id = typeof raw === 'object' && raw !== null && 'id' in raw && typeof raw.id === 'string' ? raw.id : undefined
  const name = id === undefined ? `Deliverable ${index + 1}` : `Deliverable "${id}"`
  const shape = checkShape(Deliverable, raw, { path, name, step: id })
  return { id, deliverable: shape.value ?? soundPart(Deliverable, raw, shape.findings, path.length), findings: shape.findings }
}

function checkInputs(inputs: Record<string, unknown>): Finding[] {
  const fault = schemaFault(inputs)
  return fault
    ? [{ code: 'invalid_schema', path: ['inputs', ...fault.path], message: `"inputs" is not a JSON Schema: ${fault.message}.` }]
    : []
}

function checkIds({ deliverables }: PlanDraft): Finding[] {
  const seen = new Set<string>()
  return deliverables.flatMap(({ deliverable: { id }, index }): Finding[] => {
    if (!seen.has(id)) {
      seen.add(id)
      return []
    }
    return [
      {
        code: 'duplicate',
        step: id,
        path: ['deliverables', index, 'id'],
        message: `Two deliverables are named "${id}"; give each its own id.`,
      },
    ]
  })
}

function checkDeliverable(deliverable: Deliverable, index: number, draft: PlanDraft, options: ParsePlanOptions): Finding[] {
  const path = ['deliverables', index]
  const step = deliverable.id
  const name = `Deliverable "${deliverable.id}"`
  const findings: Finding[] = []

  for (const [at, need] of deliverable.dependencies.entries()) {
    if (draft.ids.includes(need)) continue
    const message = `${name} depends on "${need}", which no deliverable is named. ${suggest('Deliverables', draft.ids, need)}`
    findings.push({ code: 'unknown_deliverable', step, path: [...path, 'dependencies', at], message })
  }
  const operations = options.operations.map((operation) => operation.name)
  for (const [at, pattern] of deliverable.tools.entries()) {
    if (operations.some((operation) => covers([pattern], operation))) continue
    const message = `${name} has the tool "${pattern}", which is no operation and covers none. ${suggest('Operations', operations, pattern)}`
    findings.push({ code: 'unknown_tool', step, path: [...path, 'tools', at], message })
  }
  if (options.personas && !options.personas.includes(deliverable.persona)) {
    const message = `${name} has the persona "${deliverable.persona}", which does not exist. ${suggest('Personas', options.personas, deliverable.persona)}`
    findings.push({ code: 'unknown_persona', step, path: [...path, 'persona'], message })
  }
  const { tokens } = deliverable.budget
  if (tokens !== undefined && tokens !== deliverable.budget_tokens) {
    const message = `${name} has budget_tokens ${deliverable.budget_tokens} and budget.tokens ${tokens}; write one of them.`
    findings.push({ code: 'invalid_value', step, path: [...path, 'budget', 'tokens'], message })
  }
  findings.push(...checkCapsule(deliverable.capsule, [...path, 'capsule'], name, options.capsules).map((finding) => ({ ...finding, step })))

  const { inputs } = draft.scope
  const early: KnownScope = inputs ? { inputs } : {}
  findings.push(...checkExpressions(deliverable.inputs, draft.scope, { path: [...path, 'inputs'], name, step }))
  // Shown, and decided on by policy, before any deliverable has come out.
  findings.push(...checkExpressions(deliverable.title, early, { path: [...path, 'title'], name, step }))
  findings.push(...checkExpressions(deliverable.resource, early, { path: [...path, 'resource'], name, step }))
  if (deliverable.acceptance !== undefined) {
    const place = [...path, 'acceptance']
    if (hasExpression(deliverable.acceptance))
      findings.push({
        code: 'invalid_value',
        step,
        path: place,
        message: `${name}: "acceptance" is an expression by itself; leave out \${{ and }}.`,
      })
    else
      findings.push(
        ...expressionFaults(deliverable.acceptance, { output: {}, ...early }, `${name}, acceptance`).map((fault) => ({
          ...fault,
          step,
          path: place,
        })),
      )
  }
  return findings
}

function checkCapsule(reference: string | undefined, path: (string | number)[], name: string, capsules?: readonly string[]): Finding[] {
  if (reference === undefined || !capsules || allowsCapsule(capsules, reference)) return []
  return [
    {
      code: 'invalid_value',
      path,
      message: `${name} is made by the capsule "${reference}", which does not exist. ${suggest('Capsules', capsules, reference)}`,
    },
  ]
}

function checkCycles({ deliverables }: PlanDraft, findings: readonly Finding[]): Finding[] {
  const broken = new Set(findings.filter((finding) => finding.code === 'expression_invalid').map((finding) => finding.step))
  const sound = deliverables.map(({ deliverable }) => (broken.has(deliverable.id) ? { ...deliverable, inputs: {} } : deliverable))
  return findCycles(deliverableGraph({ deliverables: sound })).map((cycle) => {
    const [first] = cycle as [string]
    const index = deliverables.find(({ deliverable }) => deliverable.id === first)?.index ?? 0
    const message =
      cycle.length === 2
        ? `Deliverable "${first}" depends on itself.`
        : `Deliverables depend on each other in a circle: ${cycle.map((id) => `"${id}"`).join(' depends on ')}. Take one of these dependencies away.`
    return { code: 'cycle', step: first, path: ['deliverables', index], message }
  })
}

const AMOUNTS = { tokens: 'tokens', costMicros: 'millionths of a dollar', calls: 'calls', seconds: 'seconds' } as const

/** The deliverables together must fit into the plan's budget: otherwise the last ones could never be done. */
function checkBudget(limit: BudgetAmount, { deliverables }: PlanDraft): Finding[] {
  return (Object.keys(AMOUNTS) as (keyof typeof AMOUNTS)[]).flatMap((amount): Finding[] => {
    const allowed = limit[amount]
    if (allowed === undefined) return []
    const shares = deliverables.map(({ deliverable }) => ({
      id: deliverable.id,
      share: amount === 'tokens' ? deliverable.budget_tokens : (deliverable.budget[amount] ?? 0),
    }))
    const sum = shares.reduce((total, { share }) => total + share, 0)
    if (sum <= allowed) return []
    const largest = [...shares].sort((a, b) => b.share - a.share).slice(0, 3)
    const message = `The deliverables ask for ${sum} ${AMOUNTS[amount]} together, the plan's budget has ${allowed}. The largest: ${largest.map(({ id, share }) => `${id} (${share})`).join(', ')}. Raise budget.${amount} to ${sum} or lower theirs.`
    return [{ code: 'budget_exceeded', path: ['budget', amount], message }]
  })
}
