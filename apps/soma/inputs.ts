import { readFile } from 'node:fs/promises'
import { UsageError } from './session.ts'

type Inputs = Record<string, unknown>
interface Schema {
  type?: string | string[]
  properties?: Record<string, Schema>
  enum?: unknown[]
}

export const INPUT_HELP = 'name=value; a list, mapping or number as JSON; again for each'

/** Gathers `--input` as often as it is given. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value]
}

/**
 * `k=v` words as inputs. A value is read as its schema says: text stays as it is, everything else is JSON. Without a schema for it a value
 * is JSON if it can be, and text otherwise. `a.b=v` sets `b` within `a`.
 * @throws UsageError
 */
export function parseInputs(words: readonly string[], schema: unknown): Inputs {
  const inputs: Inputs = {}
  for (const word of words) {
    const at = word.indexOf('=')
    if (at < 1) throw new UsageError(`"${word}" is no input. Write it as name=value.`)
    place(inputs, word.slice(0, at), word.slice(at + 1), (schema ?? {}) as Schema)
  }
  return inputs
}

/** `--json-input`: a whole object, or `@file` that holds one, or `-` for standard input. */
export async function parseJsonInput(text: string): Promise<Inputs> {
  const source = text === '-' ? await readAll(process.stdin) : text.startsWith('@') ? await readText(text.slice(1)) : text
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch (cause) {
    throw new UsageError(`--json-input can not be read as JSON: ${(cause as Error).message}`)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Inputs
  throw new UsageError('--json-input must be a JSON object, like {"path":"."}.')
}

async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} can not be read (${cause.code}).`)
  })
}

async function readAll(stream: AsyncIterable<Buffer | string>): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString('utf8')
}

function place(inputs: Inputs, name: string, text: string, schema: Schema): void {
  const properties = schema.properties ?? {}
  const dot = name.indexOf('.')
  const head = dot > 0 ? name.slice(0, dot) : name
  const isNested = dot > 0 && !Object.hasOwn(properties, name)
  if (!isNested) {
    inputs[name] = readValue(name, text, Object.hasOwn(properties, name) ? properties[name] : undefined)
    return
  }
  const inner = Object.hasOwn(inputs, head) ? inputs[head] : {}
  if (typeof inner !== 'object' || inner === null || Array.isArray(inner))
    throw new UsageError(`"${name}" can not be set: "${head}" was given as ${JSON.stringify(inner)}.`)
  inputs[head] = inner
  place(inner as Inputs, name.slice(dot + 1), text, properties[head] ?? {})
}

function readValue(name: string, text: string, schema: Schema | undefined): unknown {
  const types = [schema?.type ?? []].flat()
  const parsed = parseJson(text)
  if (types.length === 0) return parsed && !schema?.enum?.includes(text) ? parsed.value : text
  if (parsed && types.some((type) => type !== 'string' && isOfType(parsed.value, type))) return parsed.value
  if (types.includes('string')) return text
  throw new UsageError(`"${name}" must be ${types.join(' or ')}, not ${JSON.stringify(text)}.`, { input: name })
}

function parseJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  return typeof value === type
}
