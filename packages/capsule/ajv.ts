import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormatsModule from 'ajv-formats'
import { hasExpression } from './expression.ts'
import { suggest } from './problem.ts'
import { dotted, shown } from './shape.ts'

/** An operation as a capsule or plan is checked against it. */
export interface KnownOperation {
  name: string
  effect: 'read' | 'write' | 'destructive'
  /** JSON Schema. */
  inputSchema: Record<string, unknown>
}

export interface Violation {
  path: (string | number)[]
  message: string
  isKey?: boolean
}

// The module is CommonJS: its default export is one level down, though the types say otherwise.
const addFormats = addFormatsModule.default

/** What strictness says about style is not our business. */
function schemaReader(strict: boolean): Ajv2020 {
  const style = { strictTypes: false, strictRequired: false, strictTuples: false } as const
  const ajv = new Ajv2020({ allErrors: true, verbose: true, strict, ...style, logger: false, addUsedSchema: false })
  addFormats(ajv)
  return ajv
}

/** For schemas that people write: a misspelt keyword is found. */
const strictReader = schemaReader(true)
/** For checking values, whoever made the schema. */
const reader = schemaReader(false)

/** Compiles, and leaves nothing behind: schemas come and go, and two may have one `$id`. */
function compileOnce(ajv: Ajv2020, schema: Record<string, unknown>): ValidateFunction {
  try {
    return ajv.compile(schema)
  } finally {
    ajv.removeSchema(schema)
  }
}

/** Why the value is not a JSON Schema and where in it, or undefined when it is one. */
export function schemaFault(schema: Record<string, unknown>): { path: (string | number)[]; message: string } | undefined {
  try {
    if (strictReader.validateSchema(schema) !== true) {
      const error = strictReader.errors?.[0]
      const path = pathOf(error?.instancePath ?? '', schema)
      const allowed = error?.keyword === 'enum' ? `: ${(error.params.allowedValues as unknown[]).join(', ')}` : ''
      return { path, message: `${shown(at(schema, path))} ${error?.message ?? 'is not one'}${allowed}` }
    }
    compileOnce(strictReader, schema)
    return undefined
  } catch (error) {
    return { path: [], message: (error as Error).message }
  }
}

const validators = new WeakMap<object, ValidateFunction>()

/**
 * Checks arguments as they are written. An expression may turn out to be anything, so what depends on one is not held against it.
 * @throws Error when the schema itself is at fault
 */
export function argumentViolations(schema: Record<string, unknown>, value: unknown): Violation[] {
  let validate = validators.get(schema)
  if (!validate) {
    validate = compileOnce(reader, schema)
    validators.set(schema, validate)
  }
  if (validate(value)) return []
  return (validate.errors ?? []).flatMap((error) => violation(error, value) ?? [])
}

const ABOUT_THE_WHOLE = new Set(['anyOf', 'oneOf', 'not', 'if', 'contains', 'uniqueItems', 'unevaluatedProperties', 'unevaluatedItems'])

function violation(error: ErrorObject, whole: unknown): Violation | undefined {
  const path = pathOf(error.instancePath, whole)
  const value = at(whole, path)
  if (typeof value === 'string' && hasExpression(value)) {
    const isWithinText = error.keyword === 'type' && !/^\$\{\{[\s\S]*\}\}$/.test(value)
    if (!isWithinText) return undefined
  }
  if (ABOUT_THE_WHOLE.has(error.keyword) && hasExpression(value)) return undefined
  const place = dotted(path)
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(error.params.additionalProperty)
      const allowed = Object.keys((error.parentSchema?.properties as object | undefined) ?? {})
      return {
        path: [...path, name],
        isKey: true,
        message: `has no argument "${dotted([...path, name])}". ${suggest('Arguments', allowed, name)}`,
      }
    }
    case 'required':
      return { path, message: `needs the argument "${dotted([...path, String(error.params.missingProperty)])}".` }
    case 'enum':
      return {
        path,
        message: `takes as "${place}" one of ${(error.params.allowedValues as unknown[]).map((each) => JSON.stringify(each)).join(', ')}, not ${shown(value)}.`,
      }
    case 'type':
      return { path, message: `takes as "${place}" ${[error.params.type].flat().join(' or ')}, not ${shown(value)}.` }
    default:
      return { path, message: `can not take ${place ? `as "${place}" ` : ''}${shown(value)}: it ${error.message}.` }
  }
}

/** A JSON pointer as a path; what indexes a list is a number. */
function pathOf(pointer: string, whole: unknown): (string | number)[] {
  let value = whole
  return pointer
    .split('/')
    .slice(1)
    .map((escaped) => {
      const name = escaped.replaceAll('~1', '/').replaceAll('~0', '~')
      const key = Array.isArray(value) ? Number(name) : name
      value = at(value, [key])
      return key
    })
}

function at(value: unknown, path: (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (inner !== null && typeof inner === 'object' ? (inner as Record<string | number, unknown>)[key] : undefined),
    value,
  )
}
