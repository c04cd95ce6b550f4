import { SomaError } from '@soma/contracts/errors'
import { compileExpression, forEachExpression, type Reference } from './expression.ts'
import { type Finding, type ProblemCode, suggest } from './problem.ts'

/** What expressions at a place may name. A root with names holds only those; a root with none known may hold any. */
export type KnownScope = Readonly<Record<string, { names?: readonly string[]; code?: ProblemCode; kind?: string }>>

/** Checks every expression in a value: that it parses, and that what it names exists. */
export function checkExpressions(
  value: unknown,
  scope: KnownScope,
  place: { path: (string | number)[]; name: string; step?: string },
): Finding[] {
  const findings: Finding[] = []
  const note = (finding: Pick<Finding, 'code' | 'message' | 'at'>, path: (string | number)[]) =>
    findings.push({ ...finding, path: [...place.path, ...path], ...(place.step ? { step: place.step } : {}) })
  try {
    forEachExpression(value, (text, path, at) => {
      for (const fault of expressionFaults(text, scope, place.name)) note({ ...fault, at: at + (fault.at ?? 0) }, path)
    })
  } catch (error) {
    // Text that can't be taken apart; everything before it was checked.
    if (!SomaError.is(error, 'expression_invalid')) throw error
    note({ code: 'expression_invalid', message: `${place.name}: ${error.message}` }, [])
  }
  return findings
}

/** Checks one expression, without `${{ }}`. */
export function expressionFaults(text: string, scope: KnownScope, name: string): Pick<Finding, 'code' | 'message' | 'at'>[] {
  try {
    return compileExpression(text).references.flatMap((reference) => {
      const fault = referenceFault(reference, scope, name)
      return fault ? [{ ...fault, at: reference.at }] : []
    })
  } catch (error) {
    if (!SomaError.is(error, 'expression_invalid')) throw error
    return [{ code: 'expression_invalid', message: `${name}: ${error.message}`, at: Number(error.details.at) }]
  }
}

function referenceFault(reference: Reference, scope: KnownScope, name: string): Pick<Finding, 'code' | 'message'> | undefined {
  const { root } = reference
  if (!Object.hasOwn(scope, root)) {
    return {
      code: 'expression_invalid',
      message: `${name} uses "${root}", which is not in scope. ${suggest('In scope', Object.keys(scope), root)}`,
    }
  }
  const { names, code, kind } = scope[root] as KnownScope[string]
  if (!names || !code || !kind) return undefined
  if (reference.name === undefined) {
    if (root === 'inputs') return undefined
    return { code: 'expression_invalid', message: `${name} uses "${root}" as a whole; name one: ${root}.${names[0] ?? '…'}.` }
  }
  if (names.includes(reference.name)) return undefined
  const dashed = names.find((each) => each.startsWith(`${reference.name}-`))
  const hint = dashed ? ` An id with dashes is written ${root}["${dashed}"].` : ''
  return { code, message: `${name} uses "${root}.${reference.name}", which does not exist. ${suggest(kind, names, reference.name)}${hint}` }
}
