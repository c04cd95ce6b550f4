import { describe, expect, test } from 'vitest'
import type { KnownOperation } from './ajv.ts'
import { parseCapsule } from './parse-capsule.ts'
import { formatProblem } from './problem.ts'

const operations: KnownOperation[] = [
  {
    name: 'git.log',
    effect: 'read',
    inputSchema: {
      type: 'object',
      properties: {
        path: { type: 'string', minLength: 3 },
        limit: { type: 'integer', minimum: 1 },
        order: { enum: ['date', 'topology'] },
        range: { oneOf: [{ type: 'string' }, { type: 'object', properties: { from: { type: 'string' } }, required: ['from'] }] },
      },
      required: ['path'],
      additionalProperties: false,
    },
  },
  { name: 'git.push', effect: 'write', inputSchema: { type: 'object' } },
  { name: 'files.read', effect: 'read', inputSchema: { type: 'object' } },
]

const HEAD = `apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: health, version: 1.0.0, summary: Looks at a repository }
inputs: { type: object, properties: { repository: { type: string }, depth: { type: integer } }, required: [repository], additionalProperties: false }
permissions: { tools: [git.*], capsules: ['report@*'] }
outputs: { value: null }
`
/** Steps begin on line 8. */
const withSteps = (steps: string, head = HEAD) => `${head}steps:\n${steps}`
const problemsOf = (text: string) => parseCapsule(text, { operations }).problems.map((problem) => formatProblem(problem))

describe('a capsule that holds', () => {
  test('comes out whole, defaults set', () => {
    const { capsule, problems } = parseCapsule(
      withSteps(`
  - id: log
    title: Read the history
    tool: git.log
    with: { path: "\${{ inputs.repository }}", limit: "\${{ inputs.depth + 1 }}", order: date, range: { from: "v\${{ inputs.depth }}" } }
    retry: { attempts: 3 }
  - id: each
    map: \${{ steps.log.commits }}
    capsule: report@1.2.0
    with: { commit: "\${{ item }}", place: "\${{ index }}" }
  - id: ask
    needs: [each]
    when: \${{ size(steps.each) > 0 }}
    approval: { message: "Publish \${{ size(steps.each) }}?" }
  - id: nothing
    value: null
`),
      { operations },
    )
    expect(problems).toEqual([])
    expect(capsule?.steps.map((step) => step.id)).toEqual(['log', 'each', 'ask', 'nothing'])
    expect(capsule?.steps[0]).toMatchObject({ needs: [], onError: 'fail', retry: { attempts: 3, backoffSeconds: 1 } })
    expect(capsule).toMatchObject({ budget: {}, tests: [], metadata: { licence: 'Apache-2.0' } })
  })

  test('may give a name to what it repeats', () => {
    const steps = '  - { id: one, tool: git.log, with: &path { path: /repository } }\n  - { id: two, tool: git.log, with: *path }\n'
    expect(parseCapsule(withSteps(steps), { operations }).capsule?.steps[1]).toMatchObject({ with: { path: '/repository' } })
  })

  test('is checked without operations too, then only against its permissions', () => {
    expect(parseCapsule(withSteps('  - { id: a, tool: git.invented, with: { any: 1 } }\n')).problems).toEqual([])
    expect(parseCapsule(withSteps('  - { id: a, tool: files.read }\n')).problems).toMatchObject([{ code: 'not_permitted', step: 'a' }])
  })
})

describe('each problem has its place and says what is allowed', () => {
  test.each([
    [
      'a step that is needed and not there',
      '  - { id: build, value: 1 }\n  - { id: test, value: 1 }\n  - { id: deploy, value: 1, needs: [build, tests] }\n',
      '10:44 Step "deploy" needs "tests", which no step is named. Steps: build, test, deploy. Did you mean "test"?',
    ],
    [
      'a step that an expression names and is not there',
      '  - id: a\n    value: ["x", "is ${{ steps.b }}"]\n',
      '9:26 Step "a" uses "steps.b", which does not exist. Steps: a. Did you mean "a"?',
    ],
    [
      'an unknown input',
      '  - id: a\n    value: ${{ inputs.repositry }}\n',
      '9:16 Step "a" uses "inputs.repositry", which does not exist. Inputs: repository, depth. Did you mean "repository"?',
    ],
    [
      'item outside of a map',
      '  - { id: a, value: "${{ item }}" }\n',
      '8:26 Step "a" uses "item", which is not in scope. In scope: inputs, steps.',
    ],
    ['steps as a whole', '  - { id: a, value: "${{ size(steps) }}" }\n', '8:31 Step "a" uses "steps" as a whole; name one: steps.a.'],
    [
      'an expression that does not parse',
      "  - id: a\n    tool: git.log\n    with: { path: '${{ inputs.repository + }}' }\n",
      '10:44 Step "a": Expression `inputs.repository +` does not parse: Unexpected token: EOF.',
    ],
    [
      'an expression that is never closed',
      '  - { id: a, value: "${{ inputs.depth }" }\n',
      '8:21 Step "a": Expression `${{ inputs.depth }` does not parse: "${{" is never closed by "}}". To write the characters themselves: $${{.',
    ],
    [
      'a cycle',
      '  - { id: a, needs: [c], value: 1 }\n  - { id: b, value: "${{ steps.a }}" }\n  - { id: c, needs: [b], value: 1 }\n',
      '8:5 Steps need each other in a circle: "a" needs "c" needs "b" needs "a". Take one of these needs away.',
    ],
    ['a step that needs itself', '  - { id: a, value: "${{ steps.a }}" }\n', '8:5 Step "a" needs itself.'],
    ['two steps of one name', '  - { id: a, value: 1 }\n  - { id: a, value: 2 }\n', '9:11 Two steps are named "a"; give each its own id.'],
    [
      'a step that does nothing',
      '  - { id: a, toool: git.log }\n',
      '8:5 Step "a" does nothing: give it one of tool, capsule, approval, value. Did you mean "tool"?',
    ],
    ['a step that does two things', '  - { id: a, tool: git.log, value: 1 }\n', '8:5 Step "a" has tool and value; a step does one thing.'],
    [
      'an unknown key',
      '  - { id: a, value: 1, timout: 5 }\n',
      '8:24 Step "a" has no key "timout". Keys: id, title, needs, when, map, concurrency, retry, timeout, onError, value. Did you mean "timeout"?',
    ],
    ['a wrong type', '  - { id: a, value: 1, needs: b }\n', '8:31 Step "a": "needs" must be a list, not "b".'],
    [
      'a number too small',
      '  - { id: a, tool: git.log, with: { path: abc }, retry: { attempts: 0 } }\n',
      '8:69 Step "a": "retry.attempts" is 0; the least is 1.',
    ],
    [
      'a choice that is none',
      '  - { id: a, value: 1, onError: ignore }\n',
      '8:33 Step "a": "onError" must be "fail" or "continue", not "ignore".',
    ],
    [
      'when without an expression',
      '  - { id: a, value: 1, when: true }\n',
      '8:30 Step "a": "when" must be text, not true. Put it in quotes.',
    ],
    [
      'map without an expression',
      '  - { id: a, value: 1, map: steps.b }\n',
      '8:29 Step "a": "map" is "steps.b". An expression is written ${{ … }}.',
    ],
    [
      'an unknown operation',
      '  - { id: a, tool: git.lgo, with: { path: abc } }\n',
      '8:20 Step "a" calls "git.lgo", which is no operation. Operations: git.log, git.push. Did you mean "git.log"?',
    ],
    [
      'an operation outside of the permissions',
      '  - { id: a, tool: files.read }\n',
      '8:20 Step "a" calls "files.read", which is outside of "permissions.tools". Allowed: git.*.',
    ],
    [
      'a capsule outside of the permissions',
      '  - { id: a, capsule: other@1.0.0 }\n',
      '8:23 Step "a" runs other@1.0.0, which "permissions.capsules" does not allow. Allowed: report@*.',
    ],
    [
      'a capsule without a version',
      '  - { id: a, capsule: report }\n',
      '8:23 Step "a": "capsule" is "report". A capsule is named with its version: name@1.0.0.',
    ],
    [
      'an unknown argument',
      '  - { id: a, tool: git.log, with: { path: abc, limt: 1 } }\n',
      '8:48 Step "a": git.log has no argument "limt". Arguments: path, limit, order, range. Did you mean "limit"?',
    ],
    ['a missing argument', '  - { id: a, tool: git.log }\n', '8:5 Step "a": git.log needs the argument "path".'],
    [
      'an argument of the wrong type',
      '  - { id: a, tool: git.log, with: { path: abc, limit: many } }\n',
      '8:55 Step "a": git.log takes as "limit" integer, not "many".',
    ],
    [
      'text around an expression where a number is asked for',
      '  - { id: a, tool: git.log, with: { path: abc, limit: "n${{ inputs.depth }}" } }\n',
      '8:55 Step "a": git.log takes as "limit" integer, not "n${{ inputs.depth }}".',
    ],
    [
      'an argument that is no choice',
      '  - { id: a, tool: git.log, with: { path: abc, order: size } }\n',
      '8:55 Step "a": git.log takes as "order" one of "date", "topology", not "size".',
    ],
    [
      'retry of what is no tool',
      '  - { id: a, value: 1, retry: { attempts: 2 } }\n',
      '8:24 Step "a" has "retry", which only a tool step can have.',
    ],
    ['concurrency without map', '  - { id: a, value: 1, concurrency: 2 }\n', '8:24 Step "a" has "concurrency" without "map".'],
    [
      'an expression in a title',
      '  - { id: a, value: 1, title: "${{ inputs.depth }}" }\n',
      '8:31 Step "a" has an expression in its title, where none is evaluated.',
    ],
    ['a step that is no mapping', '  - build\n', '8:5 Step 1 must be a mapping with an id, not "build".'],
  ])('%s', (_, steps, sentence) => expect(problemsOf(withSteps(steps))).toEqual([sentence]))

  test.each([
    [
      'a schema that is none',
      HEAD.replace('depth: { type: integer }', 'depth: { type: integr }'),
      '4:84 "inputs" is not a JSON Schema: "integr" must be equal to one of the allowed values: array, boolean, integer, null, number, object, string.',
    ],
    [
      'a misspelt keyword of a schema',
      HEAD.replace('required:', 'requierd:'),
      '4:9 "inputs" is not a JSON Schema: strict mode: unknown keyword: "requierd".',
    ],
    [
      'a pattern of tools that covers none',
      HEAD.replace('[git.*]', '[git.*, gti.push]'),
      '5:31 "permissions.tools" has "gti.push", which is no operation and covers none. Operations: git.log, git.push, files.read. Did you mean "git.push"?',
    ],
    [
      'a version that is a number',
      HEAD.replace('version: 1.0.0', 'version: 1.0'),
      '3:36 "metadata.version" must be text, not 1. Put it in quotes.',
    ],
    ['something missing', HEAD.replace(', summary: Looks at a repository', ''), '3:11 "metadata.summary" is missing.'],
    [
      'an output of a step that is not there',
      HEAD.replace('value: null', 'value: { n: "${{ steps.b.n }}" }'),
      '6:29 "outputs.value" uses "steps.b", which does not exist. Steps: a. Did you mean "a"?',
    ],
    [
      'a test of other inputs and steps',
      `${HEAD}tests: [{ name: t, inputs: { repository: 5 }, recorded: { b: 1 }, expect: null }]\n`,
      '7:42 Test "t": the capsule takes as "repository" string, not 5.\n7:59 Test "t" has a record of "b", which no step is named. Steps: a. Did you mean "a"?',
    ],
  ])('%s', (_, head, sentence) => expect(problemsOf(withSteps('  - { id: a, value: 1 }\n', head)).join('\n')).toBe(sentence))

  test('all problems come at once, in the order of the file, and name the file', () => {
    const text = withSteps(
      '  - { id: a, tool: git.lgo, when: x, needs: [bb], with: { path: "${{ inputs.x }}" } }\n  - { id: b, vale: 1 }\n',
      HEAD.replace('kind: Capsule', 'kind: Capsul'),
    )
    const { problems, capsule } = parseCapsule(text, { operations, file: 'health.yaml' })
    expect(capsule).toBeUndefined()
    expect(problems.map(({ code, line }) => `${line} ${code}`)).toEqual([
      '2 invalid_value',
      '8 unknown_tool',
      '8 invalid_value',
      '8 unknown_step',
      '8 unknown_input',
      '9 invalid_value',
    ])
    expect(problems.map(formatProblem)[0]).toBe('health.yaml:2:7 "kind" must be "Capsule", not "Capsul".')
    expect(problems[3]).toMatchObject({ step: 'a', path: ['steps', 0, 'needs', 0] })
  })
})

describe('text that is no capsule', () => {
  test.each([
    ['', '1:1 The file is empty.'],
    ['hello', '1:1 The file must be a mapping (key: value), not "hello".'],
    ['a: 1\nb: 1\na: 2', '3:1 The key "a" is written twice in one mapping.'],
    ['a:\n\tb: 2', '2:1 Tabs are not allowed as indentation; use spaces.'],
    ['--- 1\n--- 2', '2:1 The file holds several documents; write one per file, without "---".'],
    ['a: [1', '1:6 The YAML does not parse: Flow sequence in block collection must be sufficiently indented and end with a ].'],
    ['a: !secret x', '1:4 The YAML does not parse: Unresolved tag: !secret.'],
    ['['.repeat(20_000), 'nested too deep'],
    [`a: ${'x'.repeat(1_048_577)}`, 'at the most 1048576 are read'],
  ])('%#: no capsule', (text, sentence) => expect(problemsOf(text).join('\n')).toContain(sentence))

  test.each([
    ['a: &x [*x]', '1:8 The alias *x stands within what it stands for.'],
    ['a: *x', '1:4 The alias *x stands for nothing: no &x comes before it.'],
    ['a: .nan', '1:4 NaN is not a number that JSON can hold.'],
    ['a: 12345678901234567890', 'put it in quotes'],
    ['a: !!binary aGVsbG8=', '1:13 Only text, numbers, true, false, null, lists and mappings are read.'],
    ['? [a]\n: 1', '1:3 A key must be text.'],
    [`a: ${'['.repeat(80)}${']'.repeat(80)}`, 'Values are nested more than 64 deep.'],
  ])('%#: not read', (text, sentence) => expect(problemsOf(text)).toContainEqual(expect.stringContaining(sentence)))

  test('a few lines that stand for billions of values are refused at once', () => {
    const names = 'abcdefghij'
    const bomb = [...names]
      .map((name, index) => `${name}: &${name} [${Array(10).fill(index === 0 ? '1' : `*${names[index - 1]}`)}]`)
      .join('\n')
    const started = performance.now()
    expect(problemsOf(bomb)).toContainEqual(expect.stringContaining('more than 50000 values, aliases counted each time'))
    expect(performance.now() - started).toBeLessThan(30_000)
  })

  test('keys that mean something to JavaScript are only keys', () => {
    const { capsule } = parseCapsule(withSteps('  - { id: a, value: { __proto__: { x: 1 }, constructor: 2 } }\n'))
    expect(JSON.stringify(capsule?.steps[0])).toContain('{"__proto__":{"x":1},"constructor":2}')
  })
})
