import { z } from 'zod'
import { BudgetAmount } from './budget.ts'

export const API_VERSION = 'soma.dev/v1'

export const CapsuleName = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{1,62}$/, 'A name is 2 to 63 lower-case letters, digits, _ or -, beginning with a letter.')
export const SemVer = z.string().regex(/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/, 'A version is MAJOR.MINOR.PATCH, e.g. 1.0.0.')
export const StepId = z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'A step id is lower-case letters, digits or _, beginning with a letter.')

/** JSON Schema, checked by Ajv when the capsule is validated. */
export const JsonSchema = z.record(z.string(), z.unknown())

/** What a step or a deliverable calls: one version, so that what runs is what was read. */
export const CapsuleReference = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{1,62}@\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/, 'A capsule is named with its version: name@1.0.0.')

/** A value that must be written, `null` included. */
const Present = z.unknown().refine((value) => value !== undefined, 'A value must be given.')

/** Text that is one whole CEL expression: `${{ inputs.repository }}`. */
export const Expression = z.string().regex(/^\$\{\{[\s\S]*\}\}$/, 'An expression is written ${{ … }}.')

const StepBase = z.strictObject({
  id: StepId,
  title: z.string().optional(),
  /** Steps that must end first. Steps that an expression names are added by themselves. */
  needs: z.array(StepId).default([]),
  /** Skip the step unless true. */
  when: Expression.optional(),
  /** Run the step once for each item; `item` and `index` are in scope in all but `when`; the result is the list of results. */
  map: Expression.optional(),
  /** At the most this many items of `map` at once. Default 8. */
  concurrency: z.number().int().min(1).max(64).optional(),
  /** Of a tool step: attempts in all, and seconds before the second; the pause doubles after. */
  retry: z.strictObject({ attempts: z.number().int().min(1).max(20), backoffSeconds: z.number().min(0).max(3600).default(1) }).optional(),
  /** Of a tool step: seconds for one attempt. */
  timeout: z.number().positive().max(86_400).optional(),
  /** What to do when it fails after its retries: stop the run (default) or go on with `null` as its output (of a `map` step: of the item). */
  onError: z.enum(['fail', 'continue']).default('fail'),
})

/** A step's output is `steps.<id>` in expressions: what the tool gave, the capsule's output, `{approved, by, reason}`, the value. */
export const ToolStep = StepBase.extend({ tool: z.string(), with: z.record(z.string(), z.unknown()).default({}) })
export const CapsuleStep = StepBase.extend({
  capsule: CapsuleReference,
  with: z.record(z.string(), z.unknown()).default({}),
})
export const ApprovalStep = StepBase.extend({
  approval: z.strictObject({ message: z.string(), expiresSeconds: z.number().positive().optional() }),
})
/** A step that computes: its output is its value, expressions evaluated. */
export const ValueStep = StepBase.extend({ value: Present })
export const Step = z.union([ToolStep, CapsuleStep, ApprovalStep, ValueStep])
export type Step = z.infer<typeof Step>
export type ToolStep = z.infer<typeof ToolStep>
export type CapsuleStep = z.infer<typeof CapsuleStep>
export type ApprovalStep = z.infer<typeof ApprovalStep>
export type ValueStep = z.infer<typeof ValueStep>

/**
 * A capsule: a versioned, signed, declarative agent task. Written as YAML; this is its shape after parsing. What a schema can't
 * say (cycles, unknown steps, tools outside the permissions, expressions that don't parse) is checked by `validateCapsule`.
 */
export const Capsule = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Capsule'),
  metadata: z.strictObject({
    name: CapsuleName,
    version: SemVer,
    summary: z.string(),
    licence: z.string().default('Apache-2.0'),
    description: z.string().optional(),
  }),
  inputs: JsonSchema.default({ type: 'object', properties: {}, additionalProperties: false }),
  outputs: z.strictObject({ schema: JsonSchema.optional(), value: Present }),
  /**
   * What it may call, itself and through capsules: no more is granted at run time. Tools are operations or patterns (`git.log`,
   * `git.*`); capsules are `name@1.0.0` or `name@*`.
   */
  permissions: z
    .strictObject({ tools: z.array(z.string()).default([]), capsules: z.array(z.string()).default([]) })
    .default({ tools: [], capsules: [] }),
  budget: BudgetAmount.default({}),
  steps: z.array(Step).min(1),
  tests: z
    .array(
      z.strictObject({
        name: z.string(),
        inputs: z.record(z.string(), z.unknown()).default({}),
        /** Recorded tool results by step id (a list for `map` steps); what a step would call is answered from here. */
        recorded: z.record(z.string(), z.unknown()).default({}),
        expect: z.unknown().describe('The output that must come out; a subset for objects'),
      }),
    )
    .default([]),
})
export type Capsule = z.infer<typeof Capsule>

/** A capsule as it is stored: the YAML text, what it parses to, its digest and the signatures over the digest. */
export const StoredCapsule = z.object({
  name: CapsuleName,
  version: SemVer,
  digest: z
    .string()
    .describe('sha256: of the canonical JSON of `capsule` as stored; never of one parsed again, which may have newer defaults'),
  status: z.enum(['draft', 'validated', 'signed', 'published', 'deprecated', 'revoked']),
  yaml: z.string(),
  capsule: Capsule,
  signatures: z.array(
    z.object({
      keyId: z.string(),
      publicKey: z.string().describe('PEM'),
      signature: z.string().describe('base64url, Ed25519 over the digest'),
      at: z.string(),
    }),
  ),
  createdAt: z.string(),
})
export type StoredCapsule = z.infer<typeof StoredCapsule>
