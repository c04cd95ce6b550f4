/** Reading what somebody else wrote: a value of the wrong kind is as good as none. */
export type Fields = Record<string, unknown>

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

export function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' ? String(value) : undefined
}

/** The entries of an object by name. */
export function entriesOf(value: unknown): [string, Fields][] {
  return Object.entries(fieldsOf(value)).map(([key, entry]) => [key, fieldsOf(entry)])
}

/** @throws Error when the text holds no object */
export function parseObject(text: string): Fields {
  const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ''))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('It holds no JSON object')
  return value as Fields
}
