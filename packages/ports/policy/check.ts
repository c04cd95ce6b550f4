import { Constitution, Decide, FIXED_FACTS, OPEN_FACTS, OPERATORS } from '@soma/contracts/constitution'
import { SomaError } from '@soma/contracts/errors'
import { PolicyInput } from '@soma/contracts/policy'
import canonicalize from 'canonicalize'
import { closest, distance } from 'fastest-levenshtein'
import { type Document, isMap, isNode, isScalar, Lexer, LineCounter, Parser, parseDocument } from 'yaml'
import { z } from 'zod'
import { compileConstitution } from './compile.ts'
import type { Policy } from './port.ts'

/** Something wrong with a constitution. Line and column count from 1. */
export interface Problem {
  line: number
  column: number
  message: string
}

export interface ConstitutionCheck {
  /** Present when the text has the shape of a constitution, also when its tests fail. */
  constitution?: Constitution
  problems: Problem[]
}

type Path = readonly PropertyKey[]
interface Source {
  document: Document
  content: unknown
  at(path: Path): Pick<Problem, 'line' | 'column'>
}

/** Bytes of YAML. */
const LONGEST_TEXT = 128 * 1024
/** Values within values. The YAML library recurses, and V8 ends the process when it runs out of stack within a regular expression. */
const DEEPEST_NESTING = 64
/** Reasons that come from the evaluator itself. */
const BUILT_IN_RULES = ['capability-not-held', 'nothing-allows-it']

/**
 * Reads a constitution and finds everything that is wrong with it: YAML, shape, ids, facts, operators, and its own tests.
 * @param openPolicy opens the driver that runs the tests; it is closed again
 * @param base constitutions that will be in force beside it, so that its tests run against the whole
 */
export async function checkConstitution(
  text: string,
  openPolicy: () => Promise<Policy>,
  base: readonly Constitution[] = [],
): Promise<ConstitutionCheck> {
  const { source, problems } = readYaml(text)
  if (!source) return { problems }

  const shape = Constitution.safeParse(source.content)
  problems.push(...(shape.error?.issues ?? []).map((issue) => describeIssue(issue, source)), ...findDuplicateIds(source, base))
  if (!shape.success) return { problems: inOrder(problems) }

  const constitution = shape.data
  problems.push(...findUnknownExpectations(constitution, base, source))
  if (problems.length === 0) problems.push(...(await findFailingTests(constitution, base, openPolicy, source)))
  return { constitution, problems: inOrder(problems) }
}

/**
 * A constitution's shape, for text that was checked before.
 * @throws invalid_input with every problem
 */
export function parseConstitution(text: string): Constitution {
  const { source, problems } = readYaml(text)
  const shape = source && Constitution.safeParse(source.content)
  if (shape?.success) return shape.data
  if (source) problems.push(...(shape?.error?.issues ?? []).map((issue) => describeIssue(issue, source)))
  throw new SomaError('invalid_input', `The constitution does not hold: ${inOrder(problems).map(printProblem).join(' ')}`, { problems })
}

export function printProblem({ line, column, message }: Problem): string {
  return `Line ${line}, column ${column}: ${message}`
}

function readYaml(text: string): { source?: Source; problems: Problem[] } {
  const start = { line: 1, column: 1 }
  if (Buffer.byteLength(text) > LONGEST_TEXT) {
    return {
      problems: [{ ...start, message: `The text has ${Buffer.byteLength(text)} bytes; a constitution has at most ${LONGEST_TEXT}.` }],
    }
  }
  const tooDeep = findTooDeep(text)
  if (tooDeep) return { problems: [{ ...tooDeep, message: `Values are nested more than ${DEEPEST_NESTING} deep.` }] }

  const lines = new LineCounter()
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true })
    // One slip in the syntax makes many errors; the first ones help.
    const problems = [...document.errors, ...document.warnings].slice(0, 10).map(({ pos, message }) => ({ ...place(pos[0]), message }))
    if (problems.length > 0) return { problems }
    if (document.contents === null)
      return { problems: [{ ...start, message: 'The text is empty. A constitution begins with apiVersion, kind and metadata.' }] }
    const content: unknown = document.toJS()
    // Throws for what has no digest: halves of characters, numbers that are none.
    canonicalize(content)
    return { source: { document, content, at: (path) => place(offsetOf(document, path)) }, problems }
  } catch (error) {
    return { problems: [{ ...start, message: `The text can not be read as YAML: ${error instanceof Error ? error.message : error}` }] }
  }
}

/** Where values first are nested too deep. The parser of lexemes keeps its own stack and so survives any text. */
function findTooDeep(text: string): Pick<Problem, 'line' | 'column'> | undefined {
  const parser = new Parser()
  for (const lexeme of new Lexer().lex(text)) {
    // The parser moves on as what it yields is taken.
    Array.from(parser.next(lexeme))
    if (parser.stack.length > DEEPEST_NESTING) {
      const before = text.slice(0, parser.offset)
      return { line: before.split('\n').length, column: before.length - before.lastIndexOf('\n') }
    }
  }
  return undefined
}

/** Where the node stands, or the nearest one above it that exists. For a key that should not be there: where the key stands. */
function offsetOf(document: Document, path: Path): number {
  const parent = document.getIn(path.slice(0, -1), true)
  const key = path.at(-1)
  const pair = isMap(parent) ? parent.items.find((item) => isScalar(item.key) && item.key.value === key) : undefined
  if (isScalar(pair?.key) && pair.key.range) return pair.key.range[0]
  const node = path.length === 0 ? document.contents : document.getIn(path, true)
  if (isNode(node) && node.range) return node.range[0]
  return path.length === 0 ? 0 : offsetOf(document, path.slice(0, -1))
}

function describeIssue(issue: z.core.$ZodIssue, source: Source): Problem {
  const value = source.document.getIn(issue.path)
  const where = issue.path.map(String).join('.')
  const place = source.at(issue.path)
  if (issue.code === 'unrecognized_keys') {
    const unknown = issue.keys.map((key) => `"${key}"`).join(', ')
    return { ...source.at([...issue.path, issue.keys[0] ?? '']), message: `${where || 'A constitution'} has no key ${unknown}.` }
  }
  if (!source.document.hasIn(issue.path) && issue.code !== 'custom') return { ...place, message: `${where} is missing.` }
  if (issue.path.at(-1) === 'decide') return { ...place, message: unknownWord('decision', String(value), Decide.options) }
  if (issue.path.at(-1) === 'is') return { ...place, message: unknownWord('operator', String(value), OPERATORS) }
  if (issue.path.at(-1) === 'fact' && typeof value === 'string') return { ...place, message: unknownFact(value) }
  const shown = value !== undefined && (value === null || typeof value !== 'object') ? ` It is ${JSON.stringify(value)}.` : ''
  return { ...place, message: `${where || 'The text'}: ${issue.message.replace(/([^.])$/, '$1.')}${shown}` }
}

function unknownFact(fact: string): string {
  const [head = '', name = '', ...rest] = fact.split('.')
  const nearest = closest(`${head}.${name}`, [...FIXED_FACTS, ...OPEN_FACTS])
  const below = OPEN_FACTS.includes(nearest) ? `.${rest.join('.') || '<name>'}` : ''
  return `No question has the fact "${fact}". Did you mean "${nearest}${below}"? Facts: ${FIXED_FACTS.join(', ')}, and what stands below ${OPEN_FACTS.join(' and ')}.`
}

function unknownWord(what: string, word: string, known: readonly string[]): string {
  const nearest = closest(word, [...known])
  const hint = distance(word, nearest) <= Math.max(3, word.length / 2) ? ` Did you mean "${nearest}"?` : ''
  return `There is no ${what} "${word}".${hint} Known: ${known.join(', ')}.`
}

function findDuplicateIds(source: Source, base: readonly Constitution[]): Problem[] {
  const owners = new Map<string, string>(
    base.flatMap(({ metadata, rules }) => rules.map(({ id }) => [id, `constitution "${metadata.name}"`])),
  )
  for (const id of BUILT_IN_RULES) owners.set(id, 'the evaluator')
  const { data } = z.object({ rules: z.array(z.object({ id: z.string() }).catch({ id: '' })) }).safeParse(source.content)
  return (data?.rules ?? []).flatMap(({ id }, index) => {
    const place = source.at(['rules', index, 'id'])
    const owner = owners.get(id)
    if (id !== '') owners.set(id, `the rule in line ${place.line}`)
    return owner === undefined ? [] : [{ ...place, message: `Rule id "${id}" is taken by ${owner}. Give this rule another.` }]
  })
}

function findUnknownExpectations(constitution: Constitution, base: readonly Constitution[], source: Source): Problem[] {
  const known = [...[...base, constitution].flatMap(({ rules }) => rules.map(({ id }) => id)), ...BUILT_IN_RULES]
  return constitution.tests.flatMap(({ expect }, index) =>
    expect.rule === undefined || known.includes(expect.rule)
      ? []
      : [{ ...source.at(['tests', index, 'expect', 'rule']), message: unknownWord('rule', expect.rule, known) }],
  )
}

async function findFailingTests(
  constitution: Constitution,
  base: readonly Constitution[],
  openPolicy: () => Promise<Policy>,
  source: Source,
): Promise<Problem[]> {
  const results = await testConstitution(constitution, base, openPolicy)
  return results.flatMap(({ name, passed, expected, given }, index) =>
    passed ? [] : [{ ...source.at(['tests', index]), message: `Test "${name}" expected ${expected} and got ${given}.` }],
  )
}

export interface ConstitutionTestResult {
  name: string
  passed: boolean
  /** `deny by "no-web"` */
  expected: string
  given: string
}

/** Runs a constitution's tests, in order, against the whole that is in force together. */
export async function testConstitution(
  constitution: Constitution,
  base: readonly Constitution[],
  openPolicy: () => Promise<Policy>,
): Promise<ConstitutionTestResult[]> {
  const policy = await openPolicy()
  try {
    const rules = compileConstitution([...base, constitution])
    const results: ConstitutionTestResult[] = []
    for (const { name, input, expect } of constitution.tests) {
      const question = completeQuestion(input)
      await policy.load(question.principal.tenant, rules)
      const { verdict, reasons } = await policy.decide(question)
      const ids = reasons.map(({ rule }) => rule)
      results.push({
        name,
        passed: verdict === expect.verdict && (expect.rule === undefined || ids.includes(expect.rule)),
        expected: expect.rule === undefined ? expect.verdict : `${expect.verdict} by "${expect.rule}"`,
        given: `${verdict} by "${ids.join('", "')}"`,
      })
    }
    return results
  } finally {
    await policy.close()
  }
}

/** Fills in what a test left out: a person who may do everything, the action's name as the capability, an empty context. */
function completeQuestion({ principal, action, context }: Constitution['tests'][number]['input']): PolicyInput {
  return PolicyInput.parse({
    principal: { id: 'user:test', kind: 'user', tenant: 'constitution-check', capabilities: ['*'], ...principal },
    action: { ...action, capability: action.capability ?? action.name },
    context: { at: '2026-01-01T00:00:00.000Z', ...context },
  })
}

function inOrder(problems: readonly Problem[]): Problem[] {
  return problems.toSorted((one, other) => one.line - other.line || one.column - other.column)
}
