import { ApprovalStep, Capsule, CapsuleStep, type Step, ToolStep, ValueStep } from '@soma/contracts/capsule'
import { z } from 'zod'
import type { KnownOperation } from './ajv.ts'
import { type Finding, nearest, type Problem } from './problem.ts'
import { checkShape, shown, soundPart } from './shape.ts'
import { type CapsuleDraft, validateCapsule } from './validate-capsule.ts'
import { readYaml } from './yaml-source.ts'

export interface ParseCapsuleOptions {
  /** Tools are checked against these; without them, only against the permissions. */
  operations?: readonly KnownOperation[]
  /** Name of the file, for messages. */
  file?: string
}

/**
 * Reads a capsule and finds everything wrong with it at once, each problem with its line and column.
 * @returns the capsule only when there is no problem
 */
export function parseCapsule(text: string, options: ParseCapsuleOptions = {}): { capsule?: Capsule; problems: Problem[] } {
  const source = readYaml(text, options.file)
  if (source.value === undefined) return { problems: source.problems }
  const { capsule, findings } = readCapsule(source.value, options.operations)
  const problems = [...source.problems, ...findings.map(source.locate)].sort((a, b) => a.line - b.line || a.column - b.column)
  return problems.length === 0 ? { capsule, problems } : { problems }
}

/** The same for a capsule that is a value already: findings have paths, not lines. */
export function readCapsule(value: unknown, operations?: readonly KnownOperation[]): { capsule?: Capsule; findings: Finding[] } {
  const whole = checkShape(Capsule.extend({ steps: z.array(z.unknown()).min(1) }), value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { findings: whole.findings }
  const raw = value as Record<string, unknown>
  const stepShapes = Array.isArray(raw.steps) ? raw.steps.map(readStep) : []
  const draft: CapsuleDraft = {
    capsule: whole.value ?? readableParts(raw, whole.findings),
    steps: stepShapes.flatMap(({ step }, index) => (step ? [{ step, index }] : [])),
    stepIds: [...new Set(stepShapes.flatMap(({ id }) => (id === undefined ? [] : [id])))],
  }
  const findings = [...whole.findings, ...stepShapes.flatMap((shape) => shape.findings), ...validateCapsule(draft, operations)]
  if (findings.length > 0 || !whole.value) return { findings }
  return { capsule: { ...whole.value, steps: draft.steps.map(({ step }) => step) }, findings }
}

const KINDS = { tool: ToolStep, capsule: CapsuleStep, approval: ApprovalStep, value: ValueStep } as const

/** By its kind, so that what is wrong is said of the kind that was meant. */
function readStep(raw: unknown, index: number): { id?: string; step?: Step; findings: Finding[] } {
  const path = ['steps', index]
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    return { findings: [{ code: 'invalid_value', path, message: `Step ${index + 1} must be a mapping with an id, not ${shown(raw)}.` }] }
  const id = 'id' in raw && typeof raw.id === 'string' ? raw.id : undefined
  const name = id === undefined ? `Step ${index + 1}` : `Step "${id}"`
  const kinds = (Object.keys(KINDS) as (keyof typeof KINDS)[]).filter((kind) => kind in raw)
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1) {
    const all = Object.keys(KINDS)
    const near = Object.keys(raw).flatMap((key) => (key in ValueStep.shape ? [] : (nearest(all, key) ?? [])))[0]
    const message =
      kind === undefined
        ? `${name} does nothing: give it one of ${all.join(', ')}.${near ? ` Did you mean "${near}"?` : ''}`
        : `${name} has ${kinds.join(' and ')}; a step does one thing.`
    return { id, findings: [{ code: 'invalid_value', path, step: id, message }] }
  }
  const shape = checkShape(KINDS[kind], raw, { path, name, step: id })
  return { id, step: shape.value ?? soundPart(KINDS[kind], raw, shape.findings, path.length), findings: shape.findings }
}

/** The parts of a capsule that hold by themselves, so that one wrong part does not hide what is wrong with the others. */
function readableParts(raw: Record<string, unknown>, findings: readonly Finding[]): CapsuleDraft['capsule'] {
  const { inputs, permissions, outputs, tests } = Capsule.shape
  return {
    inputs: inputs.safeParse(raw.inputs).data ?? {},
    permissions: permissions.safeParse(raw.permissions).data ?? { tools: ['*'], capsules: ['*'] },
    outputs: outputs.safeParse(raw.outputs).data ?? soundPart(outputs, raw.outputs, findings, 1),
    tests: tests.safeParse(raw.tests).data,
  }
}
