import { access, constants, mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Connection, Table } from '@lancedb/lancedb'
import { SomaError } from '@soma/contracts/errors'
import { requireTenant } from '@soma/contracts/requirements'
import { packageVersion } from '../package-version.ts'
import { hashed, labelsOf } from './labels.ts'
import { dimensionsOf, lanceSchema, recordBatch } from './lance-records.ts'
import { startUpkeep, type Upkeep } from './lance-upkeep.ts'
import { DEFAULT_DIMENSIONS, type Metadata, type VectorHit, type Vectors } from './port.ts'
import { fuseRankings } from './reciprocal-rank-fusion.ts'
import { collectionNotFound, requireCollection, requireDimensions, requireQuery, requireRecords, requireSameDimensions } from './rules.ts'

/** What fusion looks at of each ranking, at the least. */
const MIN_CANDIDATES = 50
/** Ids in one condition: LanceDB's time for a list grows with its square. */
const IDS_AT_ONCE = 500

interface Opened {
  table: Table
  dimensions: number
  upkeep: Upkeep
}
interface Collection {
  tenant: string
  name: string
  /** Runs writes one after the other: of two merges at once, LanceDB lets both insert the same id. */
  inTurn: <Result>(work: () => Promise<Result>) => Promise<Result>
  opened?: Promise<Opened>
}
interface Row {
  id: string
  text: string
  metadata: string
  vector: Iterable<number>
  /** Dense search. */
  _distance: number
  /** Full-text search, BM25. */
  _score: number
}

/**
 * The vectors port on LanceDB, in a folder: a database per tenant, a table per collection. One process at a time may write to a
 * collection; others may read. Dense search compares with every vector (50,000 of 768 dimensions: about 0.1 s).
 * @throws `data_directory_corrupt` when the folder can't be written
 */
export async function openLanceVectors(options: { directory: string }): Promise<Vectors> {
  const directory = resolve(options.directory)
  const lance = await import('@lancedb/lancedb')
  await prepare(directory)
  const databases = new Map<string, Promise<Connection>>()
  const collections = new Map<string, Collection>()

  const databaseOf = (tenant: string): Promise<Connection> => {
    const known = databases.get(tenant)
    if (known) return known
    // Every read looks for what other processes wrote.
    const opened = lance.connect(join(directory, tenant), { readConsistencyInterval: 0 })
    databases.set(tenant, opened)
    return opened
  }

  const collectionOf = (tenant: string, name: string): Collection => {
    requireCollection(tenant, name)
    const key = `${tenant}/${name}`
    const collection = collections.get(key) ?? { tenant, name, inTurn: turns() }
    collections.set(key, collection)
    return collection
  }

  const openTable = async ({ tenant, name }: Collection): Promise<Opened> => {
    try {
      const table = await (await databaseOf(tenant)).openTable(name)
      return { table, dimensions: await dimensionsOf(table), upkeep: await startUpkeep(table) }
    } catch (error) {
      if (/was not found/.test(String(error))) throw collectionNotFound(tenant, name)
      throw explainFailure(error, directory)
    }
  }

  const createTable = async ({ tenant, name }: Collection, dimensions: number): Promise<void> => {
    try {
      await (await databaseOf(tenant)).createEmptyTable(name, await lanceSchema(dimensions))
    } catch (error) {
      // Another process was faster, and what it made is opened next.
      if (!/already exists/.test(String(error))) throw explainFailure(error, directory)
    }
  }

  const opened = (collection: Collection): Promise<Opened> => {
    collection.opened ??= openTable(collection).catch((error) => {
      collection.opened = undefined
      throw error
    })
    return collection.opened
  }

  const write = (collection: Collection, work: (opened: Opened) => Promise<void>): Promise<void> =>
    collection.inTurn(async () => {
      const at = await opened(collection)
      try {
        await work(at)
      } catch (error) {
        throw explainFailure(error, directory)
      }
    })

  return {
    ensureCollection: async (tenant, name, { dimensions = DEFAULT_DIMENSIONS } = {}) => {
      const collection = collectionOf(tenant, name)
      requireDimensions(dimensions)
      await collection.inTurn(async () => {
        const known = await opened(collection).catch(async (error) => {
          if (!SomaError.is(error, 'not_found')) throw error
          await createTable(collection, dimensions)
          return opened(collection)
        })
        requireSameDimensions(name, known.dimensions, dimensions)
      })
    },
    upsert: async (tenant, name, records) => {
      await write(collectionOf(tenant, name), async ({ table, dimensions, upkeep }) => {
        const rows = requireRecords(records, dimensions).map((record) => ({
          key: keyOf(record.id),
          id: record.id,
          vector: record.kept,
          text: record.text,
          metadata: JSON.stringify(record.metadata),
          labels: labelsOf(record.metadata),
        }))
        if (rows.length === 0) return
        await table
          .mergeInsert('key')
          .whenMatchedUpdateAll()
          .whenNotMatchedInsertAll()
          .execute(await recordBatch(rows, dimensions))
        await upkeep.written(rows.length)
      })
    },
    search: async (tenant, name, query) => {
      const { table, dimensions } = await opened(collectionOf(tenant, name))
      const { vector, text, filter, limit } = requireQuery(query, dimensions)
      const depth = vector && text ? Math.max(limit, MIN_CANDIDATES) : limit
      const condition = conditionOf(filter)
      const byDirection = async (nearTo: Float32Array): Promise<VectorHit[]> => {
        const search = table.query().nearestTo(nearTo).distanceType('cosine').select(['id', 'text', 'metadata', '_distance']).limit(depth)
        const rows: Row[] = await (condition ? search.where(condition) : search).toArray()
        return rows.map((row) => hitOf(row, Math.max(-1, Math.min(1, 1 - row._distance))))
      }
      const byWords = async (words: string): Promise<VectorHit[]> => {
        const match = new lance.MatchQuery(words, 'text')
        const search = table.query().fullTextSearch(match).select(['id', 'text', 'metadata', '_score']).limit(depth)
        const rows: Row[] = await (condition ? search.where(condition) : search).toArray()
        rows.sort((one, other) => other._score - one._score)
        return rows.map((row) => hitOf(row, row._score / (1 + row._score)))
      }
      const rankings = await Promise.all([...(vector ? [byDirection(vector)] : []), ...(text ? [byWords(text)] : [])])
      return rankings.length === 1 ? rankings.flat() : fuseRankings(rankings).slice(0, limit)
    },
    get: async (tenant, name, ids) => {
      const { table } = await opened(collectionOf(tenant, name))
      const byId = new Map<string, Row>()
      for (const some of portions(ids)) {
        const rows: Row[] = await table.query().where(isOneOf(some)).select(['id', 'vector', 'text', 'metadata']).toArray()
        for (const row of rows) byId.set(row.id, row)
      }
      return ids.flatMap((id) => {
        const row = byId.get(id)
        return row ? [{ id, vector: [...row.vector], text: row.text, metadata: JSON.parse(row.metadata) as Metadata }] : []
      })
    },
    delete: async (tenant, name, ids) => {
      await write(collectionOf(tenant, name), async ({ table, upkeep }) => {
        for (const some of portions(ids)) await table.delete(isOneOf(some))
        await upkeep.deleted(ids.length)
      })
    },
    count: async (tenant, name) => (await opened(collectionOf(tenant, name))).table.countRows(),
    dropCollection: async (tenant, name) => {
      const collection = collectionOf(tenant, name)
      await collection.inTurn(async () => {
        const database = await databaseOf(tenant)
        if (!(await database.tableNames()).includes(name)) return
        const open = await collection.opened?.catch(() => undefined)
        open?.table.close()
        collection.opened = undefined
        await database.dropTable(name)
      })
    },
    listCollections: async (tenant) => {
      requireTenant(tenant)
      const names = await (await databaseOf(tenant)).tableNames()
      return Promise.all(names.sort().map(async (name) => ({ name, dimensions: (await opened(collectionOf(tenant, name))).dimensions })))
    },
    version: async () => packageVersion('@lancedb/lancedb'),
    close: async () => {
      for (const collection of collections.values()) {
        await collection.inTurn(async () => {
          const open = await collection.opened?.catch(() => undefined)
          open?.table.close()
        })
      }
      for (const database of databases.values()) (await database).close()
    },
  }
}

async function prepare(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await access(directory, constants.W_OK)
  } catch (cause) {
    throw new SomaError(
      'data_directory_corrupt',
      `Vectors can't be kept in ${directory}: ${(cause as Error).message}. Make it a folder that the platform's user may write, or choose another data directory.`,
      { directory },
      { cause },
    )
  }
}

/** LanceDB takes conditions as SQL text only, so ids stand in them hashed. */
const keyOf = hashed

function portions(ids: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(ids.length / IDS_AT_ONCE) }, (_, at) => ids.slice(at * IDS_AT_ONCE, (at + 1) * IDS_AT_ONCE))
}

function isOneOf(ids: readonly string[]): string {
  return `key in (${ids.map((id) => `'${keyOf(id)}'`).join(', ')})`
}

function conditionOf(filter: Metadata): string | undefined {
  const labels = labelsOf(filter).map((label) => `'${label}'`)
  return labels.length === 0 ? undefined : `array_has_all(labels, make_array(${labels.join(', ')}))`
}

function hitOf(row: Row, score: number): VectorHit {
  return { id: row.id, score, text: row.text, metadata: JSON.parse(row.metadata) as Metadata }
}

function turns(): Collection['inTurn'] {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work)
    last = result.catch(() => undefined)
    return result
  }
}

function explainFailure(error: unknown, directory: string): unknown {
  if (!/No space left on device|os error 28|Disk quota exceeded/.test(String(error))) return error
  return new SomaError(
    'disk_full',
    `The disk that holds ${directory} is full, so the records were not stored. Free some space and try again; what was stored before is safe.`,
    { directory },
    { cause: error },
  )
}
