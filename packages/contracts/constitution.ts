import { z } from 'zod'
import { API_VERSION, SemVer } from './capsule.ts'
import { Duration, Obligation } from './obligations.ts'
import { Action, Effect, Limit, PolicyInput, Verdict } from './policy.ts'
import { Principal } from './tenant.ts'

/** A dotted name, or everything below one: `tool.git.log`, `tool.git.*`, `*`. The same patterns as a principal's capabilities. */
export const Pattern = z
  .string()
  .regex(
    /^(\*|[a-z0-9][\w-]*(\.[a-z0-9][\w-]*)*(\.\*)?)$/i,
    'A pattern is a dotted name, a dotted name ending in .*, or * alone: tool.git.log, tool.git.*, *.',
  )

const fields = (prefix: string, shape: object) => Object.keys(shape).map((key) => `${prefix}.${key}`)
/** Facts that every question has, or may have. */
export const FIXED_FACTS = [
  ...fields('principal', Principal.shape),
  ...fields('action', Action.omit({ resource: true, arguments: true }).shape),
  ...fields('context', PolicyInput.shape.context.shape),
]
/** Facts that adapters and deliverables name themselves stand below these. */
export const OPEN_FACTS = ['action.resource', 'action.arguments']

/** Where a rule looks: `action.resource.host`, `context.labels`. */
export const Fact = z
  .string()
  .refine(
    (fact) => FIXED_FACTS.includes(fact) || OPEN_FACTS.some((root) => new RegExp(`^${root.replace('.', '\\.')}(\\.[^.\\s]+)+$`).test(fact)),
    {
      error: `A fact is one of ${FIXED_FACTS.join(', ')}, or stands below ${OPEN_FACTS.join(' or ')}.`,
    },
  )

/** What a condition can ask of a fact; each also comes with `not_` before it. */
export const Test = z.enum([
  'exists',
  'equals',
  'in',
  'includes',
  'matches_prefix',
  'matches_suffix',
  'greater_than',
  'less_than',
  'in_network',
  'during',
])
export type Test = z.infer<typeof Test>
/** Every word that may stand after `is`. */
export const OPERATORS = Test.options.flatMap((test) => [test, `not_${test}` as const])

const is = <T extends Test>(...tests: T[]) => z.enum(tests.flatMap((test) => [test, `not_${test}` as const]))
const Scalar = z.union([z.string(), z.number(), z.boolean()], { error: 'A value is text, a number, true or false.' })
const Part = z.string().min(1)
const Network = z.union([z.cidrv4(), z.cidrv6()], { error: 'A network is written 10.0.0.0/8 or fc00::/7.' })

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
const TimeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'A time of day is written 09:00; the end of the day is 24:00.')
/** Office hours and the like. `to` is no longer in it; when it comes before `from`, the hours end on the next day. */
export const Hours = z
  .strictObject({
    days: z
      .array(z.enum(DAYS))
      .min(1)
      .default([...DAYS]),
    from: TimeOfDay.default('00:00'),
    to: TimeOfDay.default('24:00'),
    zone: z.string().refine(isTimeZone, 'There is no such time zone. One is written Europe/Berlin or UTC.'),
  })
  .refine(({ from, to }) => from !== to, 'Hours that end when they begin are none.')
export type Hours = z.infer<typeof Hours>

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** A test against a value, or against what stands in another fact. */
const valueOr = (value: z.ZodType<string | number | boolean | (string | number | boolean)[]>) => ({
  fact: Fact,
  value: value.optional(),
  valueFrom: Fact.optional(),
})
const hasOne = [
  (condition: { value?: unknown; valueFrom?: unknown }) => (condition.value === undefined) !== (condition.valueFrom === undefined),
  'A condition has either a value or valueFrom, the fact that holds it.',
] as const

/**
 * One test of one fact. A fact that is missing passes no test, and so passes every `not_` test: a rule that denies unless
 * something is so is safe when nobody said.
 */
export const Condition = z.discriminatedUnion('is', [
  z.strictObject({ fact: Fact, is: is('exists') }),
  z.strictObject({ ...valueOr(Scalar), is: is('equals', 'includes') }).refine(...hasOne),
  z.strictObject({ ...valueOr(z.array(Scalar).min(1)), is: is('in') }).refine(...hasOne),
  z.strictObject({
    fact: Fact,
    is: is('matches_prefix', 'matches_suffix'),
    value: z.union([Part, z.array(Part).min(1)], { error: 'A prefix or suffix is text, or a list of texts.' }),
  }),
  z.strictObject({ fact: Fact, is: is('greater_than', 'less_than'), value: z.number() }),
  z.strictObject({
    fact: Fact,
    is: is('in_network'),
    value: z.union([Network, z.array(Network).min(1)], { error: 'A network is written 10.0.0.0/8 or fc00::/7; several are a list.' }),
  }),
  z.strictObject({ fact: z.literal('context.at'), is: is('during'), value: Hours }),
])
export type Condition = z.infer<typeof Condition>

/** A capability's whole name: whoever approves must hold exactly this one, by whatever pattern. */
const Capability = Pattern.refine((name) => !name.endsWith('*'), 'Name one capability, without *.')

/** Who must approve, and until when. */
export const RuleApproval = z.strictObject({
  /** Different people who must approve. */
  by: z.number().int().min(1).max(20).default(1),
  /** What each of them must hold, besides `approval.decide`: one capability, or several. */
  capability: z.union([Capability, z.array(Capability).min(1)], { error: 'A capability is a dotted name; several are a list.' }).optional(),
  /** How long an answer is waited for. Without it, as long as the platform's setting says. */
  expiresAfter: z
    .string()
    .regex(/^[1-9]\d{0,3}[mhd]$/, 'A time is a number of minutes, hours or days: 30m, 24h, 7d.')
    .optional(),
  /** Whether who approves must say why. Who rejects always must. */
  reason: z.enum(['optional', 'required']).default('optional'),
  /** Whether who asked may approve: `never`, only when `alone` (nobody else of the tenant could), or `always`. */
  self: z.enum(['never', 'alone', 'always']).default('never'),
})

/** At most so many in a span of time, whichever process decides and whenever it was started. */
export const RuleLimit = z.strictObject({
  most: z.number().int().min(0).max(1000),
  within: Duration,
  /** What has a count of its own. */
  per: Limit.shape.per.default('tenant'),
})

export const Decide = z.enum(['allow', 'deny', 'needs_approval', 'oblige'])

/** A rule. Deny wins over needs_approval wins over allow; `oblige` adds what must be done whenever the action goes ahead. */
export const Rule = z
  .strictObject({
    id: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'A rule id is lower-case letters, digits or dashes, beginning with a letter.'),
    /** The rule as a sentence for people; it becomes the decision's reason. */
    says: z.string().min(10, 'A rule says in a whole sentence what it means.').max(400, 'A rule says what it means in 400 characters.'),
    applies: z.strictObject({
      actions: z.array(Pattern).min(1, 'A rule names the actions it applies to; * is all.'),
      effects: z.array(Effect).min(1, 'Leave effects out to mean all.').default(Effect.options),
      /** Only actions that need a capability covered by one of these. */
      capabilities: z.array(Pattern).min(1, 'Leave capabilities out to mean all.').default(['*']),
    }),
    /** All must hold. */
    when: z.array(Condition).default([]),
    decide: Decide,
    /** needs_approval only: how much it takes from the score of 1 while nobody has approved. Default 0.5. */
    weight: z.number().min(0).max(1).optional(),
    /** needs_approval only. When several rules ask, all of them must be met. */
    approval: RuleApproval.optional(),
    /** oblige only. */
    obligations: z.array(Obligation).min(1, 'Name at least one obligation.').optional(),
    /** deny and needs_approval only: the rule holds only when what it applies to went ahead as often as this already. */
    limit: RuleLimit.optional(),
  })
  .refine((rule) => rule.weight === undefined || rule.decide === 'needs_approval', {
    path: ['weight'],
    error: 'Only a rule that decides needs_approval has a weight.',
  })
  .refine((rule) => rule.approval === undefined || rule.decide === 'needs_approval', {
    path: ['approval'],
    error: 'Only a rule that decides needs_approval says who must approve.',
  })
  .refine((rule) => (rule.obligations !== undefined) === (rule.decide === 'oblige'), {
    path: ['obligations'],
    error: 'A rule that decides oblige, and no other, has obligations.',
  })
  .refine((rule) => rule.limit === undefined || rule.decide === 'deny' || rule.decide === 'needs_approval', {
    path: ['limit'],
    error: 'Only a rule that decides deny or needs_approval has a limit: that is what happens beyond it.',
  })
export type Rule = z.infer<typeof Rule>

/** A question a constitution is tested with. Left out: a person who may do everything, an empty context, the action's name as capability. */
export const TestInput = z.strictObject({
  principal: Principal.partial().strict().default({}),
  action: Action.extend({ capability: Action.shape.capability.optional() }).strict(),
  context: PolicyInput.shape.context.partial().strict().default({}),
})
export type TestInput = z.infer<typeof TestInput>

/** A tenant's rules that no agent may break. Written as YAML; this is its shape after parsing. */
export const Constitution = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Constitution'),
  metadata: z.strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{1,62}$/, 'A name is 2 to 63 lower-case letters, digits or dashes, beginning with a letter.'),
    version: SemVer,
    summary: z.string().optional(),
  }),
  /** Regions in which the tenant's data may be, as its clouds name them. Rules find them as `context.residency`. */
  residency: z.array(z.string().min(1)).min(1).optional(),
  rules: z.array(Rule).min(1),
  tests: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        input: TestInput,
        expect: z.strictObject({ verdict: Verdict, rule: z.string().optional() }),
      }),
    )
    .default([]),
})
export type Constitution = z.infer<typeof Constitution>
