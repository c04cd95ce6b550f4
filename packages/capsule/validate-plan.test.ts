import { Plan } from '@soma/contracts/project'
import { describe, expect, test } from 'vitest'
import type { KnownOperation } from './ajv.ts'
import { wavesOf } from './dag.ts'
import { deliverableGraph } from './dependencies.ts'
import { expandPlan } from './expand-plan.ts'
import { evaluateValue } from './expression.ts'
import { parsePlan } from './validate-plan.ts'

const operations = ['git.log', 'git.status', 'files.read'].map(
  (name): KnownOperation => ({ name, effect: 'read', inputSchema: { type: 'object' } }),
)
const options = { operations, personas: ['analyst.v1', 'writer.v1'] }

const HEAD = `apiVersion: soma.dev/v1
kind: Plan
metadata: { name: health, summary: Looks at a repository }
inputs: { properties: { repository: { type: string }, depth: { type: integer, default: 100 } }, required: [repository] }
budget: { tokens: 100, seconds: 60 }
deliverables:
`
const deliverable = (id: string, rest = '') =>
  `  - { id: ${id}, title: T, persona: analyst.v1, tools: [git.*], budget_tokens: 10, capsule: scan@1.0.0${rest && `, ${rest}`} }\n`
/** Each problem with its line and the word that its column points at. */
const problemsOf = (text: string) =>
  parsePlan(text, options).problems.map(({ line, column, message }) => {
    const rest = text.split('\n')[line - 1]?.slice(column - 1) ?? ''
    const shortened = message.replace(/(Keys: id, title, ).*/, '$1…')
    return `${line} at ${/^[^\s,:\]}"]+|./.exec(rest)?.[0]} ${shortened}`
  })

test('a plan that holds comes out whole, and as a value does as well', () => {
  const text =
    HEAD +
    deliverable('code-scan') +
    deliverable(
      'report',
      'dependencies: [code-scan], inputs: { found: "${{ deliverables["code-scan"].output }}" }, acceptance: output.size > 0',
    )
      .replaceAll('"]', "']")
      .replaceAll('["', "['")
  const { plan, problems } = parsePlan(text, options)
  expect(problems).toEqual([])
  expect(plan?.deliverables.map(({ id }) => id)).toEqual(['code-scan', 'report'])
  expect(parsePlan({ ...plan }, options)).toEqual({ plan, problems: [] })
  expect(parsePlan({ ...plan, deliverables: [] }, options).problems).toMatchObject([
    { line: 0, path: ['deliverables'], message: '"deliverables" is an empty list; the least is 1 entries.' },
  ])
})

describe('each problem has its place and says what is allowed', () => {
  test.each([
    [
      'an unknown dependency',
      deliverable('scan') + deliverable('report', 'dependencies: [scna]'),
      '8 at scna Deliverable "report" depends on "scna", which no deliverable is named. Deliverables: scan, report. Did you mean "scan"?',
    ],
    [
      'a cycle through an expression',
      deliverable('a', 'dependencies: [b]') + deliverable('b', 'inputs: { x: "${{ deliverables.a.output }}" }'),
      '7 at { Deliverables depend on each other in a circle: "a" depends on "b" depends on "a". Take one of these dependencies away.',
    ],
    [
      'a pattern that covers no operation',
      deliverable('a').replace('git.*', 'gti.*'),
      '7 at gti.* Deliverable "a" has the tool "gti.*", which is no operation and covers none. Operations: git.log, git.status, files.read.',
    ],
    [
      'an unknown persona',
      deliverable('a').replace('analyst.v1', 'analyst.v2'),
      '7 at analyst.v2 Deliverable "a" has the persona "analyst.v2", which does not exist. Personas: analyst.v1, writer.v1. Did you mean "analyst.v1"?',
    ],
    ['two of one name', deliverable('a') + deliverable('a'), '8 at a Two deliverables are named "a"; give each its own id.'],
    [
      'an unknown input',
      deliverable('a', 'inputs: { x: "${{ inputs.repo }}" }'),
      '7 at inputs.repo Deliverable "a" uses "inputs.repo", which does not exist. Inputs: repository, depth.',
    ],
    [
      'an id with dashes written with a dot',
      deliverable('code-scan') + deliverable('b', 'inputs: { x: "${{ deliverables.code-scan }}" }'),
      '8 at deliverables.code-scan Deliverable "b" uses "deliverables.code", which does not exist. Deliverables: code-scan, b. An id with dashes is written deliverables["code-scan"].\n8 at scan Deliverable "b" uses "scan", which is not in scope. In scope: inputs, deliverables.',
    ],
    [
      'a deliverable in a title',
      deliverable('a') + deliverable('b').replace('title: T', 'title: "${{ deliverables.a.output }}"'),
      '8 at deliverables.a.output Deliverable "b" uses "deliverables", which is not in scope. In scope: inputs.',
    ],
    [
      'an acceptance in braces',
      deliverable('a', 'acceptance: "${{ output.ok }}"'),
      '7 at " Deliverable "a": "acceptance" is an expression by itself; leave out ${{ and }}.',
    ],
    [
      'an acceptance that does not parse',
      deliverable('a', 'acceptance: output.ok =='),
      '7 at   Deliverable "a", acceptance: Expression `output.ok ==` does not parse: Unexpected token: EOF.',
    ],
    [
      'budgets that can not be met',
      deliverable('a').replace('budget_tokens: 10', 'budget_tokens: 80') +
        deliverable('b', 'budget: { seconds: 61 }').replace('budget_tokens: 10', 'budget_tokens: 30'),
      "5 at 100 The deliverables ask for 110 tokens together, the plan's budget has 100. The largest: a (80), b (30). Raise budget.tokens to 110 or lower theirs.\n5 at 60 The deliverables ask for 61 seconds together, the plan's budget has 60. The largest: b (61), a (0). Raise budget.seconds to 61 or lower theirs.",
    ],
    [
      'two budgets of tokens',
      deliverable('a', 'budget: { tokens: 5 }'),
      '7 at 5 Deliverable "a" has budget_tokens 10 and budget.tokens 5; write one of them.',
    ],
    [
      'a capsule without a version',
      deliverable('a').replace('scan@1.0.0', 'scan'),
      '7 at scan Deliverable "a": "capsule" is "scan". A capsule is named with its version: name@1.0.0.',
    ],
    [
      'an unknown key',
      deliverable('a', 'dependancies: []'),
      '7 at dependancies Deliverable "a" has no key "dependancies". Keys: id, title, …',
    ],
  ])('%s', (_, deliverables, sentence) => expect(problemsOf(HEAD + deliverables).join('\n')).toBe(sentence))

  test('capsules that do not exist, when it is known which do', () => {
    const { problems } = parsePlan(HEAD + deliverable('a'), { ...options, capsules: ['scna@1.0.0'] })
    expect(problems).toMatchObject([
      {
        step: 'a',
        message:
          'Deliverable "a" is made by the capsule "scan@1.0.0", which does not exist. Capsules: scna@1.0.0. Did you mean "scna@1.0.0"?',
      },
    ])
  })
})

describe('a template', () => {
  const template = Plan.parse({
    apiVersion: 'soma.dev/v1',
    kind: 'Plan',
    metadata: { name: 'health', summary: 'x' },
    inputs: { properties: { repository: { type: 'string' }, depth: { type: 'integer', default: 100 } }, required: ['repository'] },
    deliverables: [
      {
        id: 'scan',
        title: 'Scan ${{ inputs.repository }}',
        persona: 'a',
        tools: [],
        budget_tokens: 1,
        capsule: 'scan@1.0.0',
        resource: { path: '${{ inputs.repository }}' },
        inputs: { path: '${{ inputs.repository }}', depth: '${{ inputs.depth }}', literal: '$${{ x }}' },
      },
      {
        id: 'report',
        title: 'Report',
        persona: 'a',
        tools: [],
        budget_tokens: 1,
        capsule: 'report@1.0.0',
        inputs: { list: ['${{ deliverables.scan.output }} of ${{ inputs.repository }}'] },
      },
    ],
  })

  test('is filled in, defaults set; what comes out of deliverables is kept for run time', () => {
    const { plan, inputs } = expandPlan(template, { repository: '/r' })
    expect(inputs).toEqual({ repository: '/r', depth: 100 })
    expect(plan.deliverables[0]).toMatchObject({ title: 'Scan /r', resource: { path: '/r' }, inputs: { path: '/r', depth: 100 } })
    expect(plan.deliverables[1]).toMatchObject({ dependencies: ['scan'] })
    expect(wavesOf(deliverableGraph(plan))).toEqual([['scan'], ['report']])
    const scope = { inputs, deliverables: { scan: { output: 5 } } }
    expect(evaluateValue(plan.deliverables[1]?.inputs, scope)).toEqual({ list: ['5 of /r'] })
    expect(evaluateValue(plan.deliverables[0]?.inputs, scope)).toMatchObject({ literal: '${{ x }}' })
  })

  test('never takes an input for an expression', () => {
    const hostile = '${{ deliverables.scan.output }}'
    const { plan, inputs } = expandPlan(template, { repository: hostile })
    expect(evaluateValue(plan.deliverables[0]?.inputs, { inputs, deliverables: { scan: { output: 'secret' } } })).toMatchObject({
      path: hostile,
    })
    expect(plan.deliverables[0]).toMatchObject({ dependencies: [], resource: { path: hostile } })
  })

  test('refuses inputs that it did not ask for, in a sentence', () => {
    expect(() => expandPlan(template, { repository: 5, other: 1 })).toThrow(
      /What plan "health" got as inputs does not hold to its schema: .*repository.*other/,
    )
  })
})
