import { isAbsolute, relative, resolve, sep } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import type { Operation } from '@soma/contracts/operation'
import type { Action } from '@soma/contracts/policy'
import type { Egress } from '../egress/egress.ts'

/** @throws `invalid_input` with every problem */
export function parseInput(operation: Operation, input: unknown): unknown {
  const parsed = operation.input.safeParse(input)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'input'}: ${issue.message}`)
  throw new SomaError('invalid_input', `${operation.name} does not take this input. ${problems.join('; ')}`, {
    operation: operation.name,
    problems,
    retryable: false,
  })
}

/** @throws `tool_failed` */
export function parseOutput(operation: Operation, output: unknown): unknown {
  const parsed = operation.output.safeParse(output)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw new SomaError('tool_failed', `${operation.name} answered with another shape than it declares. ${problems.join('; ')}`, {
    operation: operation.name,
    problems,
    retryable: false,
  })
}

/** What policy is asked about. Whether a path lies in the run's own workspace, and whether an address was opened, only this place knows. */
export function describeAction(operation: Operation, input: unknown, workspace: string, egress: Pick<Egress, 'isException'>): Action {
  const resource = { ...operation.resource?.(input) }
  if (typeof resource.path === 'string') {
    const inside = relative(workspace, resolve(workspace, resource.path))
    resource.inside_workspace = workspace !== '' && inside !== '..' && !inside.startsWith(`..${sep}`) && !isAbsolute(inside)
  }
  if (typeof resource.host === 'string') resource.egress_allowed = egress.isException(resource.host, Number(resource.port))
  return { name: `tool.${operation.name}`, capability: operation.capability, effect: operation.effect, resource, arguments: input }
}
