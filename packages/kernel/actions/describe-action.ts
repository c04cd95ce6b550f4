import { realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
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
export async function describeAction(
  operation: Operation,
  input: unknown,
  workspace: string,
  egress: Pick<Egress, 'isException'>,
): Promise<Action> {
  const resource = { ...operation.resource?.(input) }
  if (typeof resource.path === 'string') resource.inside_workspace = await isInside(workspace, resource.path)
  if (typeof resource.host === 'string') resource.egress_allowed = egress.isException(resource.host, Number(resource.port))
  return { name: `tool.${operation.name}`, capability: operation.capability, effect: operation.effect, resource, arguments: input }
}

/** Where links lead counts, not what a path says. */
async function isInside(workspace: string, path: string): Promise<boolean> {
  if (workspace === '') return false
  const inside = relative(await whereItIs(workspace), await whereItIs(resolve(workspace, path)))
  return inside !== '..' && !inside.startsWith(`..${sep}`) && !isAbsolute(inside)
}

/** The real place of a path, or of the nearest folder above that exists. */
async function whereItIs(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(await whereItIs(above), basename(path))
  }
}
