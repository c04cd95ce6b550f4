import { type ASTNode, Environment, EvaluationError, ParseError, TypeError as TypeMismatch } from '@marcbachmann/cel-js'
import { SomaError } from '@soma/contracts/errors'
import { RE2JS } from 're2js'
import { jsonFromCel } from './json-from-cel.ts'
import { parseTemplate, UnclosedExpression } from './template.ts'

/** A name that an expression takes from its scope: `steps.build` is root `steps` and name `build`. */
export interface Reference {
  root: string
  /** Undefined when the root is used as a whole, or its member is computed. */
  name?: string
  /** Where it stands in the expression's text. */
  at: number
}

/** Values in scope by root: `inputs`, `steps`, `deliverables`, `item`, `index`, `output`. JSON values only. */
export type Scope = Readonly<Record<string, unknown>>

export interface CompiledExpression {
  text: string
  references: readonly Reference[]
  /** @throws SomaError `expression_invalid` */
  evaluate(scope: Scope, place?: string): unknown
}

const MAX_LENGTH = 10_000
const MAX_LOOP_DEPTH = 3
const LOOPS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter'])

/**
 * JSON has one kind of number and CEL two that don't mix, so `inputs.depth + 1` would be refused: JSON's numbers are CEL doubles.
 * With these, arithmetic between the two gives a double. `7 / 2` between literals stays CEL's 3.
 */
function environment(): Environment {
  const environment = new Environment({
    unlistedVariablesAreDyn: true,
    homogeneousAggregateLiterals: false,
    enableOptionalTypes: true,
    limits: { maxAstNodes: 2_000, maxDepth: 100 },
  })
  const arithmetic: Record<string, (left: number, right: number) => number> = {
    '+': (left, right) => left + right,
    '-': (left, right) => left - right,
    '*': (left, right) => left * right,
    '/': (left, right) => left / right,
    '%': (left, right) => left % right,
  }
  for (const [operator, compute] of Object.entries(arithmetic)) {
    const handler = (left: number | bigint, right: number | bigint) => compute(Number(left), Number(right))
    environment.registerOperator(`int ${operator} double`, handler)
    environment.registerOperator(`double ${operator} int`, handler)
  }
  environment.registerOperator('double % double', (left: number, right: number) => left % right)
  environment.registerFunction(`string.${LINEAR_MATCHES}(string): bool`, (text: string, pattern: string) =>
    RE2JS.compile(pattern).matcher(text).find(),
  )
  return environment
}

/** The library's `matches` is JavaScript's and can be made to run for years; CEL asks for RE2, which is linear. */
const LINEAR_MATCHES = '__matches_re2'
const cel = environment()

const CACHE_LIMIT = 2_000
const cache = new Map<string, CompiledExpression>()

/**
 * Compiles CEL, without the `${{ }}` around it. Compiled expressions are kept.
 * @throws SomaError `expression_invalid`, `details.at` where in the text
 */
export function compileExpression(text: string): CompiledExpression {
  const known = cache.get(text)
  if (known) return known
  const compiled = compile(text)
  if (cache.size >= CACHE_LIMIT) cache.delete(cache.keys().next().value as string)
  cache.set(text, compiled)
  return compiled
}

function compile(text: string): CompiledExpression {
  if (text.trim() === '') throw invalid(text, 'is empty: write what it stands for, e.g. inputs.name', 0)
  if (text.length > MAX_LENGTH) throw invalid(text, `has ${text.length} characters; at the most ${MAX_LENGTH} are allowed`, 0)
  let parsed: ReturnType<Environment['parse']>
  try {
    parsed = cel.parse(text)
  } catch (error) {
    throw invalid(text, `does not parse: ${summary(error)}`, startOf(error))
  }
  const references: Reference[] = []
  visit(parsed.ast, new Set(), 0, { references, text })
  const check = parsed.check()
  if (check.error) throw invalid(text, `can not work: ${summary(check.error)}`, startOf(check.error))
  return {
    text,
    references,
    evaluate(scope, place) {
      try {
        return jsonFromCel(parsed(scope))
      } catch (error) {
        throw invalid(text, `can not be evaluated: ${summary(error)}`, startOf(error), { place, scope })
      }
    },
  }
}

/** Collects references, makes `matches` linear and bounds nested loops, in one walk. */
function visit(node: ASTNode, bound: ReadonlySet<string>, loopDepth: number, found: { references: Reference[]; text: string }): void {
  if (node.op === 'id') {
    if (isFree(node.args, bound)) found.references.push({ root: node.args, at: node.range.start })
    return
  }
  const [object, member] = isMember(node) ? node.args : []
  if (object?.op === 'id' && isFree(object.args, bound)) {
    found.references.push({ root: object.args, name: literalName(member), at: object.range.start })
    if (typeof member === 'object') visit(member, bound, loopDepth, found)
    return
  }
  const loop = loopOf(node)
  if (!loop) {
    for (const child of childrenOf(node)) visit(child, bound, loopDepth, found)
  } else {
    if (loopDepth === MAX_LOOP_DEPTH) {
      const problem = `nests more than ${MAX_LOOP_DEPTH} of map, filter, exists, all and bind: use several steps`
      throw invalid(found.text, problem, node.range.start)
    }
    for (const child of loop.outside) visit(child, bound, loopDepth, found)
    for (const child of loop.inside) visit(child, new Set([...bound, loop.variable]), loopDepth + 1, found)
  }
  if (node.op === 'rcall' && node.args[0] === 'matches') node.args[0] = LINEAR_MATCHES
}

function isMember(node: ASTNode): node is Extract<ASTNode, { op: '.' | '.?' | '[]' | '[?]' }> {
  return node.op === '.' || node.op === '.?' || node.op === '[]' || node.op === '[?]'
}

function literalName(member: ASTNode | string | undefined): string | undefined {
  if (typeof member === 'string') return member
  return member?.op === 'value' && typeof member.args === 'string' ? member.args : undefined
}

/** A macro that names a variable of its own: what is evaluated with it, and what without. */
function loopOf(node: ASTNode): { variable: string; inside: ASTNode[]; outside: ASTNode[] } | undefined {
  if (node.op !== 'rcall') return undefined
  const [name, receiver, [variable, ...rest]] = node.args
  if (variable?.op !== 'id' || rest.length === 0) return undefined
  if (LOOPS.has(name)) return { variable: variable.args, inside: rest, outside: [receiver] }
  const isBind = name === 'bind' && receiver.op === 'id' && receiver.args === 'cel'
  return isBind ? { variable: variable.args, inside: rest.slice(1), outside: rest.slice(0, 1) } : undefined
}

function childrenOf(node: ASTNode): ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return []
    case '.':
    case '.?':
      return [node.args[0]]
    case 'call':
      return node.args[1]
    case 'rcall':
      return [node.args[1], ...node.args[2]]
    case 'map':
      return node.args.flat()
    case '!_':
    case '-_':
      return [node.args]
    default:
      return node.args
  }
}

/** Free names come from the scope; `cel`, `int` and their like are the language's. */
function isFree(name: string, bound: ReadonlySet<string>): boolean {
  return !bound.has(name) && !cel.hasVariable(name)
}

/** The references of every expression in a value, at any depth. @throws SomaError `expression_invalid` */
export function referencesOf(value: unknown): Reference[] {
  const found: Reference[] = []
  forEachExpression(value, (text) => found.push(...compileExpression(text).references))
  return found
}

/** True when text at any depth holds an expression. */
export function hasExpression(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('${{') && parseParts(value).some((part) => 'expression' in part)
  if (value === null || typeof value !== 'object') return false
  return Object.values(value).some(hasExpression)
}

/** Calls `visit` with the text of every expression in a value and where it stands: the path, and the place in the text. */
export function forEachExpression(
  value: unknown,
  visit: (text: string, path: (string | number)[], at: number) => void,
  path: (string | number)[] = [],
): void {
  if (typeof value === 'string') {
    for (const part of parseParts(value)) if ('expression' in part) visit(part.expression, path, part.at)
  } else if (Array.isArray(value)) {
    for (const [index, each] of value.entries()) forEachExpression(each, visit, [...path, index])
  } else if (value !== null && typeof value === 'object') {
    for (const [key, each] of Object.entries(value)) forEachExpression(each, visit, [...path, key])
  }
}

/**
 * Evaluates every expression in a value, at any depth. Text that is one whole expression gives what the expression gives; within
 * text, text stands as it is and anything else as JSON.
 * @param place for the error's sentence: `step "build", with`
 * @throws SomaError `expression_invalid`
 */
export function evaluateValue(value: unknown, scope: Scope, place?: string): unknown {
  if (typeof value === 'string') return evaluateText(value, scope, place)
  if (Array.isArray(value)) return value.map((each, index) => evaluateValue(each, scope, place && `${place}[${index}]`))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, evaluateValue(each, scope, place && `${place}.${key}`)]))
}

function evaluateText(text: string, scope: Scope, place?: string): unknown {
  if (!text.includes('${{')) return text
  const parts = parseParts(text)
  const [first] = parts
  if (parts.length === 1 && first && 'expression' in first) return compileExpression(first.expression).evaluate(scope, place)
  return parts
    .map((part) => {
      if ('text' in part) return part.text
      const result = compileExpression(part.expression).evaluate(scope, place)
      return typeof result === 'string' ? result : JSON.stringify(result)
    })
    .join('')
}

function parseParts(text: string) {
  try {
    return parseTemplate(text)
  } catch (error) {
    if (!(error instanceof UnclosedExpression)) throw error
    throw invalid(text, `does not parse: ${error.message} To write the characters themselves: $\${{`, error.at)
  }
}

function summary(error: unknown): string {
  if (error instanceof ParseError || error instanceof EvaluationError || error instanceof TypeMismatch) {
    const isTernary = error.code === 'incompatible_ternary_branches'
    return `${error.summary}${isTernary ? '; put dyn(…) around one of them' : ''}`.replaceAll(LINEAR_MATCHES, 'matches')
  }
  return error instanceof Error ? error.message : String(error)
}

function startOf(error: unknown): number {
  const isCel = error instanceof ParseError || error instanceof EvaluationError || error instanceof TypeMismatch
  return (isCel && error.range?.start) || 0
}

/** Without a cause: the library's errors carry the whole tree of the expression, which no log wants. */
function invalid(text: string, problem: string, at: number, where: { place?: string; scope?: Scope } = {}): SomaError {
  const shown = text.trim().length > 200 ? `${text.trim().slice(0, 199)}…` : text.trim()
  const scope = where.scope && scopeNames(where.scope)
  const sentence = `Expression \`${shown}\`${where.place ? ` (${where.place})` : ''} ${problem}.${scope ? ` In scope: ${scope}.` : ''}`
  const details = { expression: text, at, ...(where.place ? { place: where.place } : {}), ...(scope ? { scope } : {}) }
  return new SomaError('expression_invalid', sentence.replace(/\.\.(?= |$)/g, '.'), details)
}

/** Names only: values may be secret. */
function scopeNames(scope: Scope): string {
  return Object.entries(scope)
    .map(([root, value]) => {
      if (value === null || typeof value !== 'object' || Array.isArray(value) || root === 'item') return root
      const names = Object.keys(value)
      if (names.length === 0) return `${root} (empty)`
      return `${root} (${names.slice(0, 20).join(', ')}${names.length > 20 ? `, … ${names.length} in all` : ''})`
    })
    .join(', ')
}
