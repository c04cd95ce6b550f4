import type { Table as LanceTable } from '@lancedb/lancedb'
import { SomaError } from '@soma/contracts/errors'
import type { Schema, Table } from 'apache-arrow'

export interface LanceRow {
  key: string
  id: string
  vector: Float32Array
  text: string
  /** JSON. */
  metadata: string
  labels: string[]
}

/** The columns of a collection's table. */
export async function lanceSchema(dimensions: number): Promise<Schema> {
  const { Field, FixedSizeList, Float32, List, Schema, Utf8 } = await import('apache-arrow')
  return new Schema([
    new Field('key', new Utf8(), false),
    new Field('id', new Utf8(), false),
    new Field('vector', new FixedSizeList(dimensions, new Field('item', new Float32(), false)), false),
    new Field('text', new Utf8(), false),
    new Field('metadata', new Utf8(), false),
    new Field('labels', new List(new Field('item', new Utf8(), false)), false),
  ])
}

/** @throws `data_directory_corrupt` for a table that this port did not make */
export async function dimensionsOf(table: LanceTable): Promise<number> {
  const { DataType } = await import('apache-arrow')
  const vector = (await table.schema()).fields.find((field) => field.name === 'vector')
  if (DataType.isFixedSizeList(vector?.type)) return vector.type.listSize
  throw new SomaError(
    'data_directory_corrupt',
    `The table "${table.name}" has no column of vectors, so the platform did not make it. Move it out of the data directory.`,
    { table: table.name },
  )
}

/** The rows as Arrow columns, vectors copied in one piece: LanceDB's own conversion, value by value, blocks the process five times as long. */
export async function recordBatch(rows: readonly LanceRow[], dimensions: number): Promise<Table> {
  const { Field, FixedSizeList, Float32, makeData, RecordBatch, Struct, Table, vectorFromArray } = await import('apache-arrow')
  const schema = await lanceSchema(dimensions)
  const values = new Float32Array(rows.length * dimensions)
  for (const [index, row] of rows.entries()) values.set(row.vector, index * dimensions)
  const vectors = makeData({
    type: new FixedSizeList(dimensions, new Field('item', new Float32(), false)),
    length: rows.length,
    nullCount: 0,
    child: makeData({ type: new Float32(), length: values.length, nullCount: 0, data: values }),
  })
  const children = schema.fields.flatMap((field) => {
    if (field.name === 'vector') return vectors
    const column = rows.map((row) => row[field.name as keyof LanceRow])
    return vectorFromArray(column, field.type).data
  })
  const struct = makeData({ type: new Struct(schema.fields), length: rows.length, nullCount: 0, children })
  return new Table(schema, new RecordBatch(schema, struct))
}
