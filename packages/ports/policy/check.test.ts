import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { checkConstitution, parseConstitution, printProblem } from './check.ts'
import { openWasmPolicy } from './wasm.ts'

const HEAD = 'apiVersion: soma.dev/v1\nkind: Constitution\nmetadata: { name: sample, version: 1.0.0 }\n'
const RULES = `${HEAD}rules:
  - id: reads
    says: Everybody may read.
    applies: { actions: ['*'], effects: [read] }
    decide: allow
`
const problemsOf = async (text: string, base?: Parameters<typeof checkConstitution>[2]) =>
  (await checkConstitution(text, openWasmPolicy, base)).problems.map(printProblem)

describe("the platform's constitution", () => {
  test('holds, and so do all its tests', async () => {
    const text = await readFile(new URL('../../../policies/constitution.yaml', import.meta.url), 'utf8')
    const { constitution, problems } = await checkConstitution(text, openWasmPolicy)
    expect(problems).toEqual([])
    const rules = constitution?.rules.map(({ id }) => id)
    const tested = constitution?.tests.map(({ expect }) => expect.rule)
    expect(
      rules?.filter((id) => !tested?.includes(id)),
      'rules that no test names',
    ).toEqual([])
  })
})

describe('checkConstitution', () => {
  test('a sound constitution has no problems', async () => {
    expect(await problemsOf(RULES)).toEqual([])
  })

  test('everything wrong is told at once, with its place', async () => {
    const text = `${HEAD}rules:
  - id: one
    say: nothing
    applies: { actions: [tool.*.x], effects: [wrote] }
    when:
      - { fact: action.ressource.host, is: equals, value: a }
      - { fact: action.name, is: equal, value: a }
      - { fact: action.resource.host, is: in_network, value: 10.0.0.0/99 }
    decide: denied
  - id: one
    says: The second rule of that name.
    applies: { actions: ['*'] }
    decide: allow
    weight: 0.5
`
    const problems = await problemsOf(text)
    const places = problems.map((problem) => Number(/^Line (\d+)/.exec(problem)?.[1]))
    expect(places).toEqual([5, 6, 7, 7, 9, 10, 11, 12, 13, 17])
    const told = problems.join('\n')
    for (const sentence of [
      'rules.0.says is missing.',
      'rules.0 has no key "say".',
      'It is "tool.*.x".',
      'It is "wrote".',
      'Did you mean "action.resource.host"?',
      'There is no operator "equal". Did you mean "equals"?',
      'A network is written 10.0.0.0/8',
      'There is no decision "denied". Did you mean "deny"?',
      'Rule id "one" is taken by the rule in line 5.',
      'Only a rule that decides needs_approval has a weight. It is 0.5.',
    ]) {
      expect(told).toContain(sentence)
    }
  })

  test.each([
    ['', 'Line 1, column 1: The text is empty.'],
    ['hello', 'Line 1, column 1: The text: Invalid input: expected object'],
    ['rules: [', 'Line 1, column 9: '],
    ['a: 1\na: 2\n', 'Line 2, column 1: Map keys must be unique'],
    ['a: !secret x', 'Line 1, column 4: Unresolved tag'],
    ['? [a]\n: 1', 'all keys must be strings'],
    [RULES.replace('Everybody may read.', '"half a character: \\uD800"'), 'can not be read as YAML: Lone surrogate'],
    ['['.repeat(100_000), 'Line 1, column 65: Values are nested more than 64 deep.'],
    [`a:\n  ${'- '.repeat(50_000)}`, 'Line 2, '],
    ['a: '.repeat(40_000), 'Values are nested more than 64 deep.'],
    [
      `a: &a [x]\n${[...'bcdefgh'].map((key, index) => `${key}: &${key} [${`*${'abcdefg'[index]},`.repeat(9)}]`).join('\n')}`,
      'Excessive alias count',
    ],
    [`# ${'x'.repeat(2_000_000)}`, 'a constitution has at most 131072'],
  ])('bad text is told as such: %.20s', async (text, sentence) => {
    expect((await problemsOf(text)).join('\n')).toContain(sentence)
  })

  test('a test that fails is a problem at its place', async () => {
    const text = `${RULES}tests:
  - name: writing
    input: { action: { name: tool.files.write, effect: write } }
    expect: { verdict: allow }
  - name: reading
    input: { action: { name: tool.files.read, effect: read } }
    expect: { verdict: allow, rule: read }
`
    expect(await problemsOf(text)).toEqual([
      'Line 15, column 31: There is no rule "read". Did you mean "reads"? Known: reads, capability-not-held, nothing-allows-it.',
    ])
    expect(await problemsOf(text.replace('rule: read ', 'rule: reads '))).toEqual([
      'Line 10, column 5: Test "writing" expected allow and got deny by "nothing-allows-it".',
    ])
  })

  test('the tests of a tenant run beside the constitution that it stands on', async () => {
    const base = parseConstitution(RULES)
    const overlay = `${HEAD}rules:
  - id: no-secrets
    says: Nobody reads secrets.
    applies: { actions: [secret.*] }
    when: [{ fact: principal.tenant, is: equals, value: acme }]
    decide: deny
tests:
  - { name: a file, input: { action: { name: tool.files.read, effect: read } }, expect: { verdict: allow, rule: reads } }
  - name: a secret of acme
    input: { principal: { tenant: acme }, action: { name: secret.read, effect: read } }
    expect: { verdict: deny, rule: no-secrets }
`
    expect(await problemsOf(overlay, [base])).toEqual([])
    expect((await problemsOf(overlay)).join()).toContain('There is no rule "reads".')
    expect(await problemsOf(overlay.replaceAll('no-secrets', 'reads'), [base])).toEqual([
      'Line 5, column 5: Rule id "reads" is taken by constitution "sample". Give this rule another.',
    ])
  })
})

test('parseConstitution names every problem', () => {
  expect(() => parseConstitution('kind: Capsule')).toThrow(/apiVersion is missing.*kind: .*It is "Capsule".*rules is missing/)
})
