import { Optional } from '@marcbachmann/cel-js'
import { Duration, UnsignedInt } from '@marcbachmann/cel-js/evaluator'

/**
 * What an expression gave, as JSON: whole numbers as numbers, a timestamp as ISO 8601, a duration in seconds, an empty optional as
 * null. Parts that are JSON already are not copied.
 * @throws Error when JSON has no such value
 */
export function jsonFromCel(value: unknown): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return value
    throw new Error(`the result is ${value}, which is not a number that JSON can hold`)
  }
  if (typeof value === 'bigint') return safeInteger(value)
  if (Array.isArray(value)) return mapKeepingSame(value)
  if (value instanceof UnsignedInt) return safeInteger(value.valueOf())
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Duration) return Number(value.seconds) + value.nanos / 1e9
  if (value instanceof Uint8Array) throw new Error('the result is bytes; use .base64(), .hex() or .string()')
  if (value instanceof Optional) return value.hasValue() ? jsonFromCel(value.value()) : null
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, each]) => [String(key), jsonFromCel(each)]))
  if (typeof value === 'object' && isPlain(value)) return mapObjectKeepingSame(value as Record<string, unknown>)
  throw new Error(`the result is a ${Object.prototype.toString.call(value).slice(8, -1)}, which JSON can not hold`)
}

function safeInteger(value: bigint): number {
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  throw new Error(`the result ${value} is beyond the whole numbers that JSON holds exactly; use string(…)`)
}

/** By name, for an engine that keeps workflows in a realm of their own has another `Object`. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype.constructor?.name === 'Object'
}

function mapKeepingSame(list: unknown[]): unknown[] {
  const mapped = list.map(jsonFromCel)
  return mapped.every((each, index) => each === list[index]) ? list : mapped
}

function mapObjectKeepingSame(object: Record<string, unknown>): Record<string, unknown> {
  const mapped = Object.entries(object).map(([key, each]) => [key, jsonFromCel(each)] as const)
  return mapped.every(([key, each]) => each === object[key]) ? object : Object.fromEntries(mapped)
}
