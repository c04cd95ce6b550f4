import { type Capsule, Step, type ToolStep } from '@soma/contracts/capsule'
import { stepKind } from '@soma/contracts/capsule-run'
import { covers } from '@soma/contracts/tenant'
import { argumentViolations, type KnownOperation, schemaFault, type Violation } from './ajv.ts'
import { checkExpressions, type KnownScope } from './check-expressions.ts'
import { findCycles } from './dag.ts'
import { stepGraph } from './dependencies.ts'
import { hasExpression } from './expression.ts'
import { allowsCapsule } from './permissions.ts'
import { type Finding, suggest } from './problem.ts'

/** A capsule whose parts hold to the shape, as far as they do: what is not there had a problem of its own. */
export interface CapsuleDraft {
  capsule: Pick<Capsule, 'inputs' | 'permissions'> & Partial<Pick<Capsule, 'outputs' | 'tests'>>
  /** Each step with its place in the list. */
  steps: { step: Step; index: number }[]
  /** Ids of all steps, also of those that are not in `steps`. */
  stepIds: readonly string[]
}

/** Everything wrong with a capsule that its shape can't say. Operations are checked when they are given. */
export function validateCapsule(draft: CapsuleDraft, operations?: readonly KnownOperation[]): Finding[] {
  const findings = [...checkSchemas(draft), ...checkPermissions(draft, operations), ...checkIds(draft)]
  for (const { step, index } of draft.steps) findings.push(...checkStep(step, index, draft, operations))
  findings.push(...checkCycles(draft, findings))
  if (draft.capsule.outputs) {
    const scope = scopeOf(draft)
    findings.push(...checkExpressions(draft.capsule.outputs.value, scope, { path: ['outputs', 'value'], name: '"outputs.value"' }))
  }
  return [...findings, ...checkTests(draft)]
}

function scopeOf(draft: CapsuleDraft): KnownScope {
  const { properties, additionalProperties } = draft.capsule.inputs as { properties?: object; additionalProperties?: unknown }
  const isClosed = additionalProperties === false || (properties !== undefined && additionalProperties === undefined)
  const names = isClosed ? Object.keys(properties ?? {}) : undefined
  return {
    inputs: names ? { names, code: 'unknown_input', kind: 'Inputs' } : {},
    steps: { names: draft.stepIds, code: 'unknown_step', kind: 'Steps' },
  }
}

function checkSchemas({ capsule }: CapsuleDraft): Finding[] {
  const check = (schema: Record<string, unknown> | undefined, path: string[]): Finding[] => {
    const fault = schema && schemaFault(schema)
    return fault
      ? [{ code: 'invalid_schema', path: [...path, ...fault.path], message: `"${path.join('.')}" is not a JSON Schema: ${fault.message}.` }]
      : []
  }
  const type = capsule.inputs.type
  const notObject: Finding[] =
    type === undefined || type === 'object'
      ? []
      : [{ code: 'invalid_schema', path: ['inputs', 'type'], message: '"inputs" must describe an object: type: object, with properties.' }]
  return [...check(capsule.inputs, ['inputs']), ...notObject, ...check(capsule.outputs?.schema, ['outputs', 'schema'])]
}

function checkPermissions({ capsule }: CapsuleDraft, operations?: readonly KnownOperation[]): Finding[] {
  if (!operations) return []
  return capsule.permissions.tools.flatMap((pattern, index): Finding[] => {
    if (operations.some((operation) => covers([pattern], operation.name))) return []
    const message = `"permissions.tools" has "${pattern}", which is no operation and covers none. ${suggest('Operations', operationNames(operations), pattern)}`
    return [{ code: 'unknown_tool', path: ['permissions', 'tools', index], message }]
  })
}

function checkIds({ steps }: CapsuleDraft): Finding[] {
  const seen = new Set<string>()
  return steps.flatMap(({ step, index }): Finding[] => {
    if (!seen.has(step.id)) {
      seen.add(step.id)
      return []
    }
    const message = `Two steps are named "${step.id}"; give each its own id.`
    return [{ code: 'duplicate', step: step.id, path: ['steps', index, 'id'], message }]
  })
}

function checkStep(step: Step, index: number, draft: CapsuleDraft, operations?: readonly KnownOperation[]): Finding[] {
  const path = ['steps', index]
  const name = `Step "${step.id}"`
  const found = (finding: Omit<Finding, 'step' | 'path'>, ...inner: (string | number)[]): Finding => ({
    ...finding,
    step: step.id,
    path: [...path, ...inner],
  })
  const findings: Finding[] = []

  for (const [at, need] of step.needs.entries()) {
    if (!draft.stepIds.includes(need)) {
      const message = `${name} needs "${need}", which no step is named. ${suggest('Steps', draft.stepIds, need)}`
      findings.push(found({ code: 'unknown_step', message }, 'needs', at))
    }
  }
  const kind = stepKind(step)
  for (const option of ['retry', 'timeout'] as const) {
    if (step[option] !== undefined && kind !== 'tool')
      findings.push(
        found({ code: 'invalid_value', isKey: true, message: `${name} has "${option}", which only a tool step can have.` }, option),
      )
  }
  if (step.concurrency !== undefined && step.map === undefined)
    findings.push(found({ code: 'invalid_value', isKey: true, message: `${name} has "concurrency" without "map".` }, 'concurrency'))
  if (step.title !== undefined && hasExpression(step.title))
    findings.push(found({ code: 'invalid_value', message: `${name} has an expression in its title, where none is evaluated.` }, 'title'))

  const scope = scopeOf(draft)
  const inner = step.map === undefined ? scope : { ...scope, item: {}, index: {} }
  const check = (value: unknown, within: KnownScope, ...inside: string[]) =>
    findings.push(...checkExpressions(value, within, { path: [...path, ...inside], name, step: step.id }))
  check(step.when, scope, 'when')
  check(step.map, scope, 'map')
  if ('tool' in step) {
    check(step.with, inner, 'with')
    findings.push(...checkTool(step, name, draft, operations).map((finding) => found(finding, ...finding.path)))
  } else if ('capsule' in step) {
    check(step.with, inner, 'with')
    if (!allowsCapsule(draft.capsule.permissions.capsules, step.capsule)) {
      const message = `${name} runs ${step.capsule}, which "permissions.capsules" does not allow. ${suggest('Allowed', draft.capsule.permissions.capsules, step.capsule)}`
      findings.push(found({ code: 'not_permitted', message }, 'capsule'))
    }
  } else if ('approval' in step) check(step.approval.message, inner, 'approval', 'message')
  else check(step.value, inner, 'value')
  return findings
}

/** Findings with paths inside the step. */
function checkTool(
  { tool, with: given }: ToolStep,
  name: string,
  { capsule }: CapsuleDraft,
  operations?: readonly KnownOperation[],
): Omit<Finding, 'step'>[] {
  const findings: Omit<Finding, 'step'>[] = []
  const allowed = capsule.permissions.tools
  if (!covers(allowed, tool)) {
    const message = `${name} calls "${tool}", which is outside of "permissions.tools". ${suggest('Allowed', allowed, tool)}`
    findings.push({ code: 'not_permitted', path: ['tool'], message })
  }
  const operation = operations?.find((each) => each.name === tool)
  if (operations && !operation) {
    const message = `${name} calls "${tool}", which is no operation. ${suggest('Operations', operationNames(operations, tool), tool)}`
    return [...findings, { code: 'unknown_tool', path: ['tool'], message }]
  }
  let violations: Violation[] = []
  try {
    violations = operation ? argumentViolations(operation.inputSchema, given) : []
  } catch (error) {
    violations = [{ path: [], message: `has an input schema that can not be used: ${(error as Error).message}.` }]
  }
  return [
    ...findings,
    ...violations.map(({ path, message, isKey }) => ({
      code: 'invalid_arguments' as const,
      path: ['with', ...path],
      isKey,
      message: `${name}: ${tool} ${message}`,
    })),
  ]
}

/** Of the adapter that was meant, when there is one by that name; all otherwise. */
function operationNames(operations: readonly KnownOperation[], wanted = ''): string[] {
  const names = operations.map((operation) => operation.name)
  const ofAdapter = names.filter((name) => name.split('.', 1)[0] === wanted.split('.', 1)[0])
  return ofAdapter.length > 0 ? ofAdapter : names
}

function checkCycles({ steps }: CapsuleDraft, findings: readonly Finding[]): Finding[] {
  // An expression that does not parse names nothing; its step takes part with what it says it needs.
  const broken = new Set(findings.filter((finding) => finding.code === 'expression_invalid').map((finding) => finding.step))
  const graph = stepGraph(
    steps.map(({ step }) => (broken.has(step.id) ? Step.parse({ id: step.id, needs: step.needs, value: null }) : step)),
  )
  return findCycles(graph).map((cycle) => {
    const [first] = cycle as [string]
    const message =
      cycle.length === 2
        ? `Step "${first}" needs itself.`
        : `Steps need each other in a circle: ${cycle.map((id) => `"${id}"`).join(' needs ')}. Take one of these needs away.`
    return { code: 'cycle', step: first, path: ['steps', steps.find(({ step }) => step.id === first)?.index ?? 0], message }
  })
}

function checkTests({ capsule, stepIds }: CapsuleDraft): Finding[] {
  const names = new Set<string>()
  return (capsule.tests ?? []).flatMap((test, index): Finding[] => {
    const findings: Finding[] = []
    if (names.has(test.name))
      findings.push({ code: 'duplicate', path: ['tests', index, 'name'], message: `Two tests are named "${test.name}".` })
    names.add(test.name)
    for (const id of Object.keys(test.recorded)) {
      if (stepIds.includes(id)) continue
      const message = `Test "${test.name}" has a record of "${id}", which no step is named. ${suggest('Steps', stepIds, id)}`
      findings.push({ code: 'unknown_step', isKey: true, path: ['tests', index, 'recorded', id], message })
    }
    if (schemaFault(capsule.inputs)) return findings
    for (const violation of argumentViolations(capsule.inputs, test.inputs))
      findings.push({
        code: 'invalid_arguments',
        path: ['tests', index, 'inputs', ...violation.path],
        message: `Test "${test.name}": the capsule ${violation.message}`,
      })
    return findings
  })
}
