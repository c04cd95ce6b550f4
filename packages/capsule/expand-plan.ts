import { type Deliverable, Plan } from '@soma/contracts/project'
import { deliverableGraph } from './dependencies.ts'
import { evaluateValue, hasExpression, referencesOf, type Scope } from './expression.ts'
import { checkValue, withDefaults } from './json-schema.ts'
import { escapeExpressions } from './template.ts'

/**
 * A template with what it asks for filled in: `inputs` checked, defaults set, expressions over `inputs` resolved, and the dependencies
 * that expressions make written out. What names `deliverables` is kept for run time, where `inputs` must be in scope as well.
 * @throws SomaError `invalid_input`, `expression_invalid`
 */
export function expandPlan(plan: Plan, given: Record<string, unknown>): { plan: Plan; inputs: Record<string, unknown> } {
  const schema = { type: 'object', additionalProperties: false, ...plan.inputs }
  const inputs = withDefaults(schema, given) as Record<string, unknown>
  checkValue(schema, inputs, `What plan "${plan.metadata.name}" got as inputs`)
  const scope = { inputs }
  const graph = deliverableGraph(plan)
  const deliverables = plan.deliverables.map((deliverable): Deliverable => {
    const place = `deliverable "${deliverable.id}"`
    return {
      ...deliverable,
      title: String(evaluateValue(deliverable.title, scope, `${place}, title`)),
      resource: evaluateValue(deliverable.resource, scope, `${place}, resource`) as Record<string, unknown>,
      inputs: resolveEarly(deliverable.inputs, scope, `${place}, inputs`) as Record<string, unknown>,
      dependencies: [...(graph.get(deliverable.id) ?? [])],
    }
  })
  return { plan: Plan.parse({ ...plan, deliverables }), inputs }
}

/**
 * Evaluates what needs only `inputs`. What comes in by them is escaped: the result is evaluated again at run time, and an input that
 * holds `${{ … }}` must stay text.
 */
function resolveEarly(value: unknown, scope: Scope, place: string): unknown {
  if (typeof value === 'string') {
    if (!hasExpression(value) || referencesOf(value).some(({ root }) => root !== 'inputs')) return value
    return escapeExpressions(evaluateValue(value, scope, place))
  }
  if (Array.isArray(value)) return value.map((each, index) => resolveEarly(each, scope, `${place}[${index}]`))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, resolveEarly(each, scope, `${place}.${key}`)]))
}
