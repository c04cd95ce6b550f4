/**
 * Arrays in PostgreSQL's binary form, for parameters of statements that take many rows: nothing is escaped here and nothing is
 * parsed there. The form: dimensions, flag for nulls, type of the elements, length, lower bound; then each element after its size.
 */
const HEADER = 20
const SIZE = 4
const TEXT = 25
const JSON_TEXT = 114
const INTEGER = 23
const TIMESTAMP = 1184
const BYTES = 17
const UUID = 2950
/** PostgreSQL counts time from 2000, in microseconds. */
const EPOCH = Date.UTC(2000, 0)

export function textArray(values: readonly string[], type: typeof TEXT | typeof JSON_TEXT = TEXT): Buffer {
  // UTF-8 takes three bytes for a UTF-16 unit at the most.
  const most = values.reduce((sum, value) => sum + SIZE + value.length * 3, 0)
  const { buffer, start } = begin(type, values.length, most)
  let end = start
  for (const value of values) {
    const size = buffer.write(value, end + SIZE)
    end = buffer.writeInt32BE(size, end) + size
  }
  return buffer.subarray(0, end)
}

/** @param values JSON, as text */
export function jsonArray(values: readonly string[]): Buffer {
  return textArray(values, JSON_TEXT)
}

export function integerArray(values: readonly number[]): Buffer {
  return fixedArray(INTEGER, 4, values, (buffer, value, place) => buffer.writeInt32BE(value, place))
}

/** @param values ISO 8601 */
export function timestampArray(values: readonly string[]): Buffer {
  return fixedArray(TIMESTAMP, 8, values, (buffer, value, place) =>
    buffer.writeBigInt64BE(BigInt(Date.parse(value) - EPOCH) * 1000n, place),
  )
}

/** @param values sha-256 digests, hex */
export function digestArray(values: readonly string[]): Buffer {
  return fixedArray(BYTES, 32, values, (buffer, value, place) => buffer.write(value, place, 'hex'))
}

export function uuidArray(values: readonly string[]): Buffer {
  return fixedArray(UUID, 16, values, (buffer, value, place) => buffer.write(value.replaceAll('-', ''), place, 'hex'))
}

function fixedArray<Value>(
  type: number,
  size: number,
  values: readonly Value[],
  write: (buffer: Buffer, value: Value, place: number) => void,
): Buffer {
  const { buffer, start } = begin(type, values.length, values.length * (SIZE + size))
  values.forEach((value, index) => {
    const place = buffer.writeInt32BE(size, start + index * (SIZE + size))
    write(buffer, value, place)
  })
  return buffer
}

function begin(type: number, length: number, bytes: number): { buffer: Buffer; start: number } {
  const buffer = Buffer.allocUnsafe(HEADER + bytes)
  buffer.writeInt32BE(1, 0)
  buffer.writeInt32BE(0, 4)
  buffer.writeInt32BE(type, 8)
  buffer.writeInt32BE(length, 12)
  buffer.writeInt32BE(1, 16)
  return { buffer, start: HEADER }
}
