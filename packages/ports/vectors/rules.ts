import { SomaError } from '@soma/contracts/errors'
import { requireName, requireTenant } from '@soma/contracts/requirements'
import { MAX_DIMENSIONS, type Metadata, type VectorQuery, type VectorRecord } from './port.ts'

const COLLECTION = /^[a-z][a-z0-9_-]{0,62}$/
const MAX_LIMIT = 1000
const DEFAULT_LIMIT = 10

/** @throws `invalid_input` */
export function requireCollection(tenant: string, collection: string): void {
  requireTenant(tenant)
  if (COLLECTION.test(collection)) return
  const shown = JSON.stringify(String(collection).slice(0, 80))
  throw new SomaError(
    'invalid_input',
    `${shown} is no collection. A collection's name is 1 to 63 lower-case letters, digits, "-" or "_", beginning with a letter.`,
    { collection },
  )
}

/** @throws `invalid_input` */
export function requireDimensions(dimensions: number): void {
  if (Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= MAX_DIMENSIONS) return
  throw new SomaError('invalid_input', `dimensions is ${dimensions}; it must be a whole number from 1 to ${MAX_DIMENSIONS}.`, {
    dimensions,
  })
}

/**
 * The vector as it is kept.
 * @param what for the message: `record "a"`
 * @throws `invalid_input` for a wrong length, and for what has no direction
 */
export function requireVector(what: string, vector: readonly number[], dimensions: number): Float32Array {
  if (vector.length !== dimensions) {
    throw new SomaError(
      'invalid_input',
      `The vector of ${what} has ${vector.length} dimensions, but the collection has ${dimensions}. Use the model that the collection was made for, or another collection.`,
      { dimensions: vector.length, expected: dimensions },
    )
  }
  const kept = Float32Array.from(vector)
  if (!kept.every(Number.isFinite)) {
    throw new SomaError('invalid_input', `The vector of ${what} holds a value that is no finite 32-bit number.`)
  }
  if (!kept.some((value) => value !== 0)) {
    throw new SomaError('invalid_input', `The vector of ${what} is all zeros, which has no direction to compare by.`)
  }
  return kept
}

/** The records to keep, one per id. @throws `invalid_input` */
export function requireRecords(records: readonly VectorRecord[], dimensions: number): (VectorRecord & { kept: Float32Array })[] {
  const byId = new Map<string, VectorRecord & { kept: Float32Array }>()
  for (const record of records) {
    requireName('record id', record.id)
    const what = `record ${JSON.stringify(record.id)}`
    requireMetadata(what, record.metadata)
    byId.set(record.id, { ...record, kept: requireVector(what, record.vector, dimensions) })
  }
  return [...byId.values()]
}

/** The query with its defaults, a text of nothing but space counting as none. @throws `invalid_input` */
export function requireQuery(
  query: VectorQuery,
  dimensions: number,
): { vector?: Float32Array; text?: string; filter: Metadata; limit: number } {
  const { filter = {}, limit = DEFAULT_LIMIT } = query
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new SomaError('invalid_input', `limit is ${limit}; it must be a whole number from 1 to ${MAX_LIMIT}.`, { limit })
  }
  requireMetadata('the filter', filter)
  const text = query.text?.trim() || undefined
  const vector = query.vector && requireVector('the query', query.vector, dimensions)
  if (!vector && !text) throw new SomaError('invalid_input', 'A search needs a vector, a text or both.')
  return { vector, text, filter, limit }
}

function requireMetadata(what: string, metadata: Metadata): void {
  for (const [field, value] of Object.entries(metadata)) {
    const isPlain = typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
    if (isPlain) continue
    throw new SomaError(
      'invalid_input',
      `The metadata field ${JSON.stringify(field)} of ${what} is ${value === null ? 'null' : typeof value}; it must be a string, a finite number or a boolean.`,
      { field },
    )
  }
}

/** @throws `conflict` */
export function requireSameDimensions(collection: string, actual: number, asked: number): void {
  if (actual === asked) return
  throw new SomaError(
    'conflict',
    `Collection "${collection}" has ${actual} dimensions, not ${asked}. Use another name, or drop it and fill it anew.`,
    { collection, actual, asked },
  )
}

export function collectionNotFound(tenant: string, collection: string): SomaError {
  return new SomaError('not_found', `Tenant "${tenant}" has no collection "${collection}". Make it with ensureCollection first.`, {
    tenant,
    collection,
  })
}
