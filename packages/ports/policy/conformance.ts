import { Constitution } from '@soma/contracts/constitution'
import type { PolicyInput } from '@soma/contracts/policy'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { z } from 'zod'
import { compileConstitution } from './compile.ts'
import type { Policy, PolicyData } from './port.ts'

type RuleSource = z.input<typeof Constitution>['rules'][number]
type Condition = NonNullable<RuleSource['when']>[number]

const rule = (id: string, decide: RuleSource['decide'], more: Partial<RuleSource> = {}): RuleSource => ({
  id,
  says: `The rule ${id} speaks.`,
  applies: { actions: ['*'] },
  decide,
  ...more,
})

const compileWith = (more: Partial<z.input<typeof Constitution>>, ...rules: RuleSource[]): PolicyData => {
  const metadata = { name: 'promises', version: '1.0.0' }
  return compileConstitution([Constitution.parse({ apiVersion: 'soma.dev/v1', kind: 'Constitution', metadata, rules, ...more })])
}
const compile = (...rules: RuleSource[]): PolicyData => compileWith({}, ...rules)

interface Asked {
  principal?: Partial<PolicyInput['principal']>
  action?: Partial<PolicyInput['action']>
  context?: Partial<PolicyInput['context']>
}

const question = ({ principal, action, context }: Asked = {}): PolicyInput => ({
  principal: { id: 'user:ada', kind: 'user', tenant: 'acme', capabilities: ['*'], within: [], ...principal },
  action: { name: 'tool.git.commit', capability: 'tool.git.write', effect: 'write', resource: {}, ...action },
  context: { labels: [], approvals: [], at: '2026-01-01T00:00:00.000Z', ...context },
})

const resource = {
  text: 'src/main.ts',
  size: 7,
  flag: true,
  nothing: null,
  list: ['a', 7],
  host: '[fd00::1]',
  deep: { inside: 'x' },
  owner: 'user:ada',
}
const HOLDING: [Condition, boolean][] = [
  [{ fact: 'action.resource.text', is: 'exists' }, true],
  [{ fact: 'action.resource.nothing', is: 'exists' }, false],
  [{ fact: 'action.resource.missing', is: 'exists' }, false],
  [{ fact: 'action.resource.text', is: 'equals', value: 'src/main.ts' }, true],
  [{ fact: 'action.resource.size', is: 'equals', value: '7' }, false],
  [{ fact: 'action.resource.flag', is: 'equals', value: true }, true],
  [{ fact: 'action.resource.missing', is: 'equals', value: false }, false],
  [{ fact: 'action.resource.deep.inside', is: 'equals', value: 'x' }, true],
  [{ fact: 'action.resource.text.inside', is: 'equals', value: 'x' }, false],
  [{ fact: 'action.arguments.branch', is: 'equals', value: 'main' }, true],
  [{ fact: 'principal.kind', is: 'in', value: ['agent', 'user'] }, true],
  [{ fact: 'principal.kind', is: 'in', value: ['agent'] }, false],
  [{ fact: 'principal.mfa', is: 'equals', value: true }, false],
  [{ fact: 'action.resource.list', is: 'includes', value: 7 }, true],
  [{ fact: 'action.resource.list', is: 'includes', value: 'b' }, false],
  [{ fact: 'action.resource.text', is: 'includes', value: 'src' }, false],
  [{ fact: 'action.resource.text', is: 'matches_prefix', value: ['lib/', 'src/'] }, true],
  [{ fact: 'action.resource.size', is: 'matches_prefix', value: '7' }, false],
  [{ fact: 'action.resource.text', is: 'matches_suffix', value: '.ts' }, true],
  [{ fact: 'action.resource.text', is: 'matches_suffix', value: '.js' }, false],
  [{ fact: 'action.resource.size', is: 'greater_than', value: 6.5 }, true],
  [{ fact: 'action.resource.size', is: 'greater_than', value: 7 }, false],
  [{ fact: 'action.resource.text', is: 'greater_than', value: 7 }, false],
  [{ fact: 'action.resource.size', is: 'less_than', value: 8 }, true],
  [{ fact: 'action.resource.nothing', is: 'less_than', value: 8 }, false],
  [{ fact: 'action.resource.host', is: 'in_network', value: ['10.0.0.0/8', 'fc00::/7'] }, true],
  [{ fact: 'action.resource.host', is: 'in_network', value: '10.0.0.0/8' }, false],
  [{ fact: 'action.resource.text', is: 'in_network', value: '0.0.0.0/0' }, false],
  [{ fact: 'action.resource.owner', is: 'equals', valueFrom: 'principal.id' }, true],
  [{ fact: 'action.resource.text', is: 'equals', valueFrom: 'principal.id' }, false],
  [{ fact: 'action.resource.missing', is: 'equals', valueFrom: 'action.resource.nothing' }, false],
  [{ fact: 'action.resource.list', is: 'includes', valueFrom: 'action.resource.size' }, true],
  [{ fact: 'action.resource.list', is: 'includes', valueFrom: 'action.resource.nothing' }, false],
  [{ fact: 'action.resource.size', is: 'in', valueFrom: 'action.resource.list' }, true],
  [{ fact: 'action.resource.text', is: 'in', valueFrom: 'action.resource.list' }, false],
  [{ fact: 'action.resource.text', is: 'in', valueFrom: 'action.resource.missing' }, false],
]
const opposite = (condition: Condition) => ({ ...condition, is: `not_${condition.is}` }) as Condition

/** What every policy driver promises. */
export function policyConformance(driver: string, open: () => Promise<Policy>): void {
  describe(`policy: ${driver}`, () => {
    let policy: Policy
    beforeAll(async () => {
      policy = await open()
    })
    afterAll(() => policy.close())
    const decide = async (rules: RuleSource[], asked?: Asked) => {
      await policy.load('acme', compile(...rules))
      return policy.decide(question(asked))
    }

    test('a tenant without a constitution gets no decision', async () => {
      await expect(policy.decide(question({ principal: { tenant: 'nobody' } }))).rejects.toMatchObject({ code: 'policy_unavailable' })
      expect(policy.loadedVersion('nobody')).toBeUndefined()
    })

    test('deny wins over needs_approval, which wins over allow', async () => {
      const rules = [rule('may', 'allow'), rule('ask', 'needs_approval'), rule('never', 'deny')]
      const reason = (id: string) => ({ rule: id, text: `The rule ${id} speaks.` })
      expect(await decide(rules)).toMatchObject({ verdict: 'deny', reasons: [reason('never')], score: 0 })
      expect(await decide(rules.slice(0, 2))).toMatchObject({ verdict: 'needs_approval', reasons: [reason('ask')], score: 0.5 })
      expect(await decide(rules.slice(0, 1))).toMatchObject({ verdict: 'allow', reasons: [reason('may')], score: 1 })
    })

    test('what no rule allows is denied, and the reason names the action', async () => {
      const { verdict, reasons } = await decide([
        rule('elsewhere', 'allow', { applies: { actions: ['tool.files.*', 'tool.gi.*', 'tool.git.commi'] } }),
      ])
      expect(verdict).toBe('deny')
      expect(reasons).toEqual([{ rule: 'nothing-allows-it', text: 'No rule of the constitution allows tool.git.commit (write).' }])
    })

    test('a rule applies to the actions, effects and capabilities that it names', async () => {
      const applies = async (limits: RuleSource['applies']) =>
        (await decide([rule('may', 'allow', { applies: limits })])).verdict === 'allow'
      expect(await applies({ actions: ['tool.git.commit', 'tool.git.*', '*'] })).toBe(true)
      expect(await applies({ actions: ['tool.*'], effects: ['read', 'write'] })).toBe(true)
      expect(await applies({ actions: ['tool.*'], effects: ['read'] })).toBe(false)
      expect(await applies({ actions: ['*'], capabilities: ['tool.git.*'] })).toBe(true)
      expect(await applies({ actions: ['*'], capabilities: ['tool.files.*'] })).toBe(false)
    })

    test('nobody acts without the capability, whatever the rules allow', async () => {
      const allowed = async (principal: Asked['principal']) => (await decide([rule('may', 'allow')], { principal })).verdict === 'allow'
      expect(await allowed({ capabilities: ['tool.git.*'], within: [['tool.*'], ['*', 'x']] })).toBe(true)
      expect(await allowed({ capabilities: ['tool.git.write'] })).toBe(true)
      expect(await allowed({ capabilities: [] })).toBe(false)
      expect(await allowed({ capabilities: ['tool.git', 'tool.g.*', 'tool.git.write.*'] })).toBe(false)
      expect(await allowed({ within: [['*'], []] })).toBe(false)
      expect(await decide([rule('may', 'allow'), rule('never', 'deny')], { principal: { capabilities: [] } })).toMatchObject({
        reasons: [
          { rule: 'capability-not-held', text: 'user:ada does not hold the capability tool.git.write that tool.git.commit needs.' },
          { rule: 'never', text: 'The rule never speaks.' },
        ],
      })
    })

    test('an approval answers needs_approval and never a denial', async () => {
      const context = { approvals: ['approval-7'] }
      expect(await decide([rule('ask', 'needs_approval')], { context })).toMatchObject({
        verdict: 'allow',
        reasons: [{ rule: 'ask', text: 'The rule ask speaks. Approved: approval-7.' }],
        score: 1,
      })
      expect(await decide([rule('ask', 'needs_approval'), rule('never', 'deny')], { context })).toMatchObject({ verdict: 'deny' })
      expect(await decide([rule('ask', 'needs_approval')], { context, principal: { capabilities: [] } })).toMatchObject({ verdict: 'deny' })
      expect(await decide([rule('other', 'allow', { applies: { actions: ['x'] } })], { context })).toMatchObject({ verdict: 'deny' })
      expect(await decide([rule('ask', 'needs_approval')], { context: { approvals: [''] } })).toMatchObject({ verdict: 'needs_approval' })
    })

    test('each open question takes its weight from the score, down to zero', async () => {
      const ask = (id: string, weight: number) => rule(id, 'needs_approval', { weight })
      expect((await decide([ask('one', 0.25), ask('two', 0.5)])).score).toBeCloseTo(0.25)
      expect((await decide([ask('one', 0.75), ask('two', 0.5)])).score).toBe(0)
      expect((await decide([ask('one', 0)])).score).toBe(1)
    })

    test('who must approve comes with the question, from every rule that asks, and with the answer once it is given', async () => {
      const rules = [
        rule('ask', 'needs_approval'),
        rule('ask-two', 'needs_approval', {
          approval: { by: 2, capability: ['release.approve'], expiresAfter: '36h', reason: 'required', self: 'alone' },
        }),
      ]
      const value = [
        { by: 1, capabilities: [], reasonRequired: false, self: 'never' },
        { by: 2, capabilities: ['release.approve'], expiresAfterSeconds: 129_600, reasonRequired: true, self: 'alone' },
      ]
      for (const approvals of [[], ['approval-1']]) {
        const { verdict, obligations } = await decide(rules, { context: { approvals } })
        expect(verdict).toBe(approvals.length === 0 ? 'needs_approval' : 'allow')
        expect(obligations).toHaveLength(2)
        expect(obligations).toEqual(
          expect.arrayContaining(value.map((terms, index) => ({ kind: 'approval', value: terms, rule: rules[index]?.id }))),
        )
      }
    })

    test('obligations come with whatever goes ahead, and the rule that says so; not with a denial', async () => {
      const oblige = rule('mind-it', 'oblige', {
        obligations: [{ kind: 'redact', value: { output: ['token'] } }, { kind: 'require_reason' }],
      })
      expect((await decide([oblige, rule('may', 'allow')])).obligations).toEqual([
        { kind: 'redact', value: { output: ['token'] }, rule: 'mind-it' },
        { kind: 'require_reason', rule: 'mind-it' },
      ])
      expect((await decide([oblige])).verdict).toBe('deny')
      expect((await decide([oblige])).obligations).toEqual([])
    })

    test('a limit comes with what goes ahead, and its rule speaks once it is used up', async () => {
      const few = (decision: 'deny' | 'needs_approval') =>
        rule('few', decision, {
          limit: { most: 5, within: '2h', per: 'project' },
          when: [{ fact: 'action.effect', is: 'equals', value: 'write' }],
        })
      const open = await decide([rule('may', 'allow'), few('deny')])
      expect(open).toMatchObject({ verdict: 'allow', limits: [{ rule: 'few', most: 5, seconds: 7200, per: 'project' }] })
      const context = { exceeded: ['few'] }
      expect(await decide([rule('may', 'allow'), few('deny')], { context })).toMatchObject({ verdict: 'deny', reasons: [{ rule: 'few' }] })
      expect(await decide([rule('may', 'allow'), few('needs_approval')], { context })).toMatchObject({ verdict: 'needs_approval' })
      expect(await decide([rule('may', 'allow'), few('deny')], { action: { effect: 'read' } })).toMatchObject({
        verdict: 'allow',
        limits: [],
      })
      expect(await decide([rule('may', 'allow'), few('deny')], { action: { effect: 'read' }, context })).toMatchObject({ verdict: 'allow' })
    })

    test.each([
      ['2026-01-05T08:59:00.000Z', false],
      ['2026-01-05T09:00:00.000Z', true],
      ['2026-01-05T16:59:59.999Z', true],
      ['2026-01-05T17:00:00.000Z', false],
      ['2026-01-04T12:00:00.000Z', false],
    ])('office hours are told at %s UTC: %s', async (at, isOpen) => {
      const value = { days: ['mon', 'tue', 'wed', 'thu', 'fri'] as 'mon'[], from: '10:00', to: '18:00', zone: 'Europe/Berlin' }
      const open = rule('office', 'allow', { when: [{ fact: 'context.at', is: 'during', value }] })
      const closed = rule('closed', 'allow', { when: [{ fact: 'context.at', is: 'not_during', value }] })
      expect((await decide([open], { context: { at } })).verdict).toBe(isOpen ? 'allow' : 'deny')
      expect((await decide([closed], { context: { at } })).verdict).toBe(isOpen ? 'deny' : 'allow')
    })

    test('hours over midnight end on the next day, and summer time counts', async () => {
      const value = { days: ['sun'] as 'sun'[], from: '23:00', to: '01:30', zone: 'America/New_York' }
      const night = rule('night', 'allow', { when: [{ fact: 'context.at', is: 'during', value }] })
      const isOpen = async (at: string) => (await decide([night], { context: { at } })).verdict === 'allow'
      expect(await isOpen('2026-07-06T03:00:00.000Z')).toBe(true)
      expect(await isOpen('2026-07-06T05:29:00.000Z')).toBe(true)
      expect(await isOpen('2026-07-06T05:30:00.000Z')).toBe(false)
      expect(await isOpen('2026-07-05T05:00:00.000Z')).toBe(false)
      expect(await isOpen('2026-01-05T03:00:00.000Z')).toBe(false)
    })

    test('data stay in the regions that the tenant and the project leave', async () => {
      const stays = rule('stays', 'deny', {
        when: [
          { fact: 'context.residency', is: 'exists' },
          { fact: 'action.resource.region', is: 'not_in', valueFrom: 'context.residency' },
        ],
      })
      const verdict = async (residency: string[] | undefined, project: string[] | undefined, region: string) => {
        await policy.load('acme', compileWith({ residency }, rule('may', 'allow'), stays))
        return (await policy.decide(question({ action: { resource: { region } }, context: { residency: project } }))).verdict
      }
      expect(await verdict(undefined, undefined, 'us-east-1')).toBe('allow')
      expect(await verdict(['eu-west-1', 'eu-central-1'], undefined, 'eu-west-1')).toBe('allow')
      expect(await verdict(['eu-west-1', 'eu-central-1'], undefined, 'us-east-1')).toBe('deny')
      expect(await verdict(['eu-west-1', 'eu-central-1'], ['eu-central-1', 'us-east-1'], 'eu-west-1')).toBe('deny')
      expect(await verdict(['eu-west-1', 'eu-central-1'], ['eu-central-1', 'us-east-1'], 'us-east-1')).toBe('deny')
      expect(await verdict(undefined, ['us-east-1'], 'us-east-1')).toBe('allow')
      expect(await verdict(['eu-west-1'], ['us-east-1'], 'eu-west-1')).toBe('deny')
    })

    test('a label says all that its beginnings say', async () => {
      const stop = rule('stop', 'deny', { when: [{ fact: 'context.labels', is: 'includes', value: 'untrusted' }] })
      const verdict = async (...labels: string[]) => (await decide([rule('may', 'allow'), stop], { context: { labels } })).verdict
      expect(await verdict('untrusted.web')).toBe('deny')
      expect(await verdict('untrusted')).toBe('deny')
      expect(await verdict('untrustedly', 'secret.untrusted')).toBe('allow')
    })

    test('an explanation says which rules hold, which do not, and on which condition', async () => {
      const rules = [
        rule('may', 'allow'),
        rule('never', 'deny', {
          when: [
            { fact: 'action.resource.branch', is: 'equals', value: 'main' },
            { fact: 'principal.kind', is: 'not_equals', value: 'user' },
          ],
        }),
        rule('elsewhere', 'deny', { applies: { actions: ['tool.files.*'] } }),
      ]
      await policy.load('acme', compile(...rules))
      const explained = await policy.explain(question({ action: { resource: { branch: 'main' } } }))
      expect(explained.decision).toMatchObject({ verdict: 'allow', reasons: [{ rule: 'may' }] })
      expect(explained.capability).toEqual({ needed: 'tool.git.write', held: true, within: [] })
      expect(explained.rules.toSorted((one, other) => one.rule.localeCompare(other.rule))).toMatchObject([
        { rule: 'may', decides: 'allow', holds: true, conditions: [] },
        {
          rule: 'never',
          decides: 'deny',
          holds: false,
          conditions: [
            { fact: 'action.resource.branch', test: 'equals', negated: false, value: 'main', given: 'main', holds: true },
            { fact: 'principal.kind', test: 'equals', negated: true, value: 'user', given: 'user', holds: false },
          ],
        },
      ])
    })

    test('texts that mean something to JavaScript are texts like others', async () => {
      for (const text of ['__proto__', 'constructor', 'toString', '=']) {
        const stop = rule('stop', 'deny', { when: [{ fact: 'action.resource.name', is: 'in', value: [text, 'other'] }] })
        const verdict = async (name: string) => (await decide([rule('may', 'allow'), stop], { action: { resource: { name } } })).verdict
        expect([text, await verdict(text), await verdict('x')]).toEqual([text, 'deny', 'allow'])
      }
    })

    test.each(HOLDING)('%j holds: %s', async (condition, holds) => {
      const asked = { action: { resource, arguments: { branch: 'main' } } }
      const applies = async (when: Condition) => (await decide([rule('may', 'allow', { when: [when] })], asked)).verdict === 'allow'
      expect(await applies(condition)).toBe(holds)
      expect(await applies(opposite(condition))).toBe(!holds)
    })

    test('a rule applies only when all its conditions hold', async () => {
      const when = [HOLDING[0], HOLDING[1]].flatMap((entry) => (entry ? [entry[0]] : []))
      expect((await decide([rule('may', 'allow', { when })], { action: { resource } })).verdict).toBe('deny')
    })

    test('new rules are in force at once, and every decision says which', async () => {
      const [open, closed] = [compile(rule('may', 'allow')), compile(rule('never', 'deny'))]
      await policy.load('acme', open)
      expect(await policy.decide(question())).toMatchObject({ verdict: 'allow', policy: open.version })
      await policy.load('acme', closed)
      expect(policy.loadedVersion('acme')).toBe(closed.version)
      expect(await policy.decide(question())).toMatchObject({ verdict: 'deny', policy: closed.version })
    })

    test('no tenant is judged by the rules of another', async () => {
      await policy.load('acme', compile(rule('may', 'allow')))
      await policy.load('globex', compile(rule('never', 'deny')))
      await policy.load('initech', compile(rule('may', 'allow')))
      await policy.load('initech', compile(rule('ask', 'needs_approval')))
      const verdicts = ['acme', 'globex', 'initech'].map(
        async (tenant) => (await policy.decide(question({ principal: { tenant } }))).verdict,
      )
      expect(await Promise.all(verdicts)).toEqual(['allow', 'deny', 'needs_approval'])
    })

    test('rules that can not be used are refused, and the last stay in force', async () => {
      const good = compile(rule('may', 'allow'))
      await policy.load('acme', good)
      const misshapen = { version: good.version, document: { rules: { '*': { write: { always: [{ id: 'half' }], keyed: [] } } } } }
      await expect(policy.load('acme', misshapen)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(policy.load('globex', { ...good, document: {} })).rejects.toMatchObject({ code: 'invalid_input' })
      const forged = { version: good.version, document: compile(rule('evil', 'allow')).document }
      await expect(policy.load('acme', forged)).rejects.toMatchObject({ code: 'digest_mismatch' })
      expect(await policy.decide(question())).toMatchObject({ verdict: 'allow', policy: good.version, reasons: [{ rule: 'may' }] })
    })

    test('a question that can not be asked gets no decision, and the next one is answered', async () => {
      await policy.load('acme', compile(rule('may', 'allow')))
      const circular: Record<string, unknown> = {}
      circular.self = circular
      for (const resource of [circular, { size: 5n }, { name: 'half a character: \ud800' }, { text: 'x'.repeat(2_000_000) }]) {
        await expect(policy.decide(question({ action: { resource } }))).rejects.toMatchObject({ code: 'policy_unavailable' })
        expect((await policy.decide(question())).verdict).toBe('allow')
      }
    })

    test('what is missing from a question never makes an allow', async () => {
      await policy.load('acme', compile(rule('may', 'allow')))
      const whole = question()
      const broken = [
        { ...whole, principal: { tenant: 'acme' } },
        { ...whole, principal: { ...whole.principal, within: undefined } },
        { ...whole, principal: { ...whole.principal, capabilities: null } },
        { ...whole, principal: { ...whole.principal, id: undefined, capabilities: [] } },
        { ...whole, action: { ...whole.action, capability: undefined } },
        { ...whole, action: { ...whole.action, name: undefined } },
        { ...whole, action: { ...whole.action, effect: undefined } },
      ]
      for (const input of broken) {
        const verdict = await policy.decide(input as PolicyInput).then(
          (decision) => decision.verdict,
          (error) => error.code,
        )
        expect(['deny', 'policy_unavailable'], JSON.stringify(input)).toContain(verdict)
      }
    })

    test('texts of every script and control characters come through unharmed', async () => {
      const id = 'user:Zoë \u0000 "quoted" \\ \n 漢字 😀'
      const { reasons } = await decide([rule('may', 'allow')], { principal: { id, capabilities: [] } })
      expect(reasons[0]?.text).toBe(`${id} does not hold the capability tool.git.write that tool.git.commit needs.`)
    })

    test('long arguments that no rule looks at cost nothing and do not matter', async () => {
      expect((await decide([rule('may', 'allow')], { action: { arguments: { content: 'x'.repeat(3_000_000) } } })).verdict).toBe('allow')
    })

    test('a closed driver decides nothing', async () => {
      const closing = await open()
      await closing.load('acme', compile(rule('may', 'allow')))
      await closing.close()
      await expect(closing.decide(question())).rejects.toMatchObject({ code: 'policy_unavailable' })
    })
  })
}
