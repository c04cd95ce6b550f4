import { z } from 'zod'
import { type Finding, suggest } from './problem.ts'

/**
 * Checks a value's shape and says what is wrong in sentences.
 * @param name what is looked at, at the beginning of sentences: `Step "build"`; empty for the whole file
 */
export function checkShape<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: { path: (string | number)[]; name?: string; step?: string } = { path: [] },
): { value?: z.output<Schema>; findings: Finding[] } {
  const result = schema.safeParse(value)
  if (result.success) return { value: result.data, findings: [] }
  const findings = result.error.issues.flatMap((issue): Finding[] => {
    const inner = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key))
    const base = { path: [...place.path, ...inner], ...(place.step ? { step: place.step } : {}) }
    if (issue.code === 'unrecognized_keys') {
      const allowed = keysAt(schema, inner)
      return issue.keys.map((key) => ({
        ...base,
        code: 'unknown_key',
        isKey: true,
        path: [...base.path, key],
        message: `${owner(place.name, inner)} has no key "${key}". ${suggest('Keys', allowed, key)}`,
      }))
    }
    return [{ ...base, code: 'invalid_value', message: sentence(issue, at(value, inner), place.name, inner) }]
  })
  return { findings }
}

/** The value without the keys that were found wrong, if it holds then: one wrong key must not hide what is wrong with the others. */
export function soundPart<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  findings: readonly Finding[],
  depth: number,
): z.output<Schema> | undefined {
  if (value === null || typeof value !== 'object') return undefined
  const wrong = new Set(findings.map(({ path }) => path[depth]))
  return schema.safeParse(Object.fromEntries(Object.entries(value).filter(([key]) => !wrong.has(key)))).data
}

function sentence(issue: z.core.$ZodIssue, value: unknown, name: string | undefined, path: (string | number)[]): string {
  const subject = `${name ? `${name}: ` : ''}"${dotted(path)}"`
  if (path.length === 0 && issue.code === 'invalid_type')
    return `${name ?? 'The file'} must be ${expected(issue.expected)}, not ${shown(value)}.`
  if (value === undefined) return `${subject} is missing.`
  if (issue.code === 'invalid_type') {
    const hint = issue.expected === 'string' && (typeof value === 'number' || typeof value === 'boolean') ? ' Put it in quotes.' : ''
    return `${subject} must be ${expected(issue.expected)}, not ${shown(value)}.${hint}`
  }
  if (issue.code === 'invalid_value')
    return `${subject} must be ${issue.values.map((each) => `"${String(each)}"`).join(' or ')}, not ${shown(value)}.`
  if (issue.code === 'too_small') return `${subject} is ${shown(value)}; the least is ${issue.minimum}${unit(issue.origin)}.`
  if (issue.code === 'too_big') return `${subject} is ${shown(value)}; the most is ${issue.maximum}${unit(issue.origin)}.`
  return `${subject} is ${shown(value)}. ${issue.message}`
}

function expected(type: string): string {
  const words: Record<string, string> = {
    string: 'text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    array: 'a list',
    object: 'a mapping (key: value)',
    record: 'a mapping (key: value)',
  }
  return words[type] ?? type
}

function unit(origin: string): string {
  return origin === 'array' ? ' entries' : origin === 'string' ? ' characters' : ''
}

/** A value in a sentence, short. */
export function shown(value: unknown): string {
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`
  if (value !== null && typeof value === 'object') return 'a mapping'
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}

export function dotted(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, key) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${key}` : key), '')
}

function owner(name: string | undefined, path: (string | number)[]): string {
  if (path.length === 0) return name ?? 'The file'
  return `${name ? `${name}: ` : ''}"${dotted(path)}"`
}

function at(value: unknown, path: (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (inner !== null && typeof inner === 'object' ? (inner as Record<string | number, unknown>)[key] : undefined),
    value,
  )
}

function keysAt(schema: z.ZodType, path: (string | number)[]): string[] {
  let inner: unknown = unwrapped(schema)
  for (const key of path) {
    if (inner instanceof z.ZodObject) inner = unwrapped(inner.shape[key])
    else if (inner instanceof z.ZodArray) inner = unwrapped(inner.element)
    else return []
  }
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : []
}

function unwrapped(schema: unknown): unknown {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodOptional ? unwrapped(schema.unwrap()) : schema
}
