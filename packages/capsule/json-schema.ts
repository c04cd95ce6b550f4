import { type Schema, validate } from '@cfworker/json-schema'
import { SomaError } from '@soma/contracts/errors'

/**
 * Checks a value that arrives while a workflow runs. Interpreted, not compiled: an engine may forbid making code from text in
 * workflows, so Ajv serves only where capsules are written.
 * @param what for the sentence: `What capsule report@1.0.0 got as inputs`
 * @throws SomaError `invalid_input` with every violation
 */
export function checkValue(schema: Record<string, unknown>, value: unknown, what: string): void {
  const result = validate(value, schema as Schema, '2020-12', undefined, false)
  if (result.valid) return
  const problems = result.errors
    .filter((error) => !PASSING_ON.has(error.keyword))
    .map((error) => `${placeOf(error.instanceLocation)}${error.keyword === 'false' ? 'Nothing may be given here.' : error.error}`)
  const sentences = [...new Set(problems.length > 0 ? problems : result.errors.map((error) => error.error))]
  throw new SomaError('invalid_input', `${what} does not hold to its schema: ${sentences.join(' ')}`, { problems: sentences })
}

/** Keywords whose error says only that there are others further in. */
const PASSING_ON = new Set([
  'properties',
  'additionalProperties',
  'patternProperties',
  'items',
  'prefixItems',
  'allOf',
  'anyOf',
  'oneOf',
  '$ref',
])

function placeOf(pointer: string): string {
  const path = pointer.replace(/^#\/?/, '').replaceAll('/', '.')
  return path === '' ? '' : `${path}: `
}

/** The value with the schema's defaults where nothing was given, within objects. */
export function withDefaults(schema: unknown, value: unknown): unknown {
  if (!isObject(schema)) return value
  if (value === undefined) {
    if ('default' in schema) return schema.default
    return undefined
  }
  if (!isObject(value) || !isObject(schema.properties)) return value
  const filled: Record<string, unknown> = { ...value }
  for (const [name, property] of Object.entries(schema.properties)) {
    const given = withDefaults(property, Object.hasOwn(value, name) ? value[name] : undefined)
    if (given !== undefined) filled[name] = given
  }
  return filled
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
