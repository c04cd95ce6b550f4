import { z } from 'zod'
import { Label } from './labels.ts'

/** Where a field stands below an action's arguments or its output: `password`, `user.email`, `rows.*.token`; `*` is each of a list. */
const FieldPath = z
  .string()
  .regex(/^[\w-]+(\.([\w-]+|\*))*$/, 'A field is named by its path: password, user.email, rows.*.token, where * is each of a list.')

/** In seconds. */
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** A length of time as rules write it; seconds after parsing. */
export const Duration = z
  .string()
  .regex(/^[1-9]\d{0,4}[smhd]$/, 'A time is a number of seconds, minutes, hours or days: 90s, 30m, 24h, 7d.')
export const secondsOf = (duration: string): number => Number.parseInt(duration, 10) * (UNITS[duration.slice(-1)] as number)

/**
 * What a rule can ask to be done when an action goes ahead. Each is carried out by the gate or by the road of the action; one that the
 * road at hand can't carry out stops the action.
 */
export const Obligation = z.discriminatedUnion('kind', [
  z.strictObject({
    /** These fields are neither recorded nor given back. */
    kind: z.literal('redact'),
    value: z
      .strictObject({ arguments: z.array(FieldPath).min(1).optional(), output: z.array(FieldPath).min(1).optional() })
      .refine((fields) => fields.arguments ?? fields.output, 'Name fields of the arguments, of the output, or of both.'),
  }),
  /** The operation says what it would do instead of doing it; one that can't is refused. */
  z.strictObject({ kind: z.literal('dry_run') }),
  z.strictObject({
    /** Whoever acts must have shown a second factor, `within` the time before. */
    kind: z.literal('require_mfa'),
    value: z.strictObject({ within: Duration.optional() }).optional(),
  }),
  /** Whoever acts must say why. */
  z.strictObject({ kind: z.literal('require_reason') }),
  /** The output no longer carries these labels, nor those below them. */
  z.strictObject({ kind: z.literal('declassify'), value: z.strictObject({ labels: z.array(Label).min(1) }) }),
])
export type Obligation = z.infer<typeof Obligation>
export type ObligationKind = Obligation['kind']
export type ObligationOf<Kind extends ObligationKind> = Extract<Obligation, { kind: Kind }>
