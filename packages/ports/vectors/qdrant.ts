import type { QdrantClient } from '@qdrant/js-client-rest'
import { SomaError } from '@soma/contracts/errors'
import { v5 } from 'uuid'
import { weighQuery, weighText } from './bm25.ts'
import { labelsOf } from './labels.ts'
import { DEFAULT_DIMENSIONS, type Metadata, type VectorHit, type VectorRecord, type Vectors } from './port.ts'
import { type Collection, collectionOf, DENSE, listCollections, makeCollection, readDimensions, WORDS } from './qdrant-collections.ts'
import { explainFailure, isStatus } from './qdrant-failure.ts'
import { fuseRankings } from './reciprocal-rank-fusion.ts'
import { collectionNotFound, requireDimensions, requireQuery, requireRecords, requireSameDimensions } from './rules.ts'

export interface QdrantOptions {
  /** `http://localhost:6333` */
  url?: string
  apiKey?: string
  /** First part of the names of all collections. */
  prefix: string
  /** A request that has not been answered by then is given up. */
  timeoutMilliseconds?: number
}

const TIMEOUT_MILLISECONDS = 30_000
/** What fusion looks at of each ranking, at the least. */
const MIN_CANDIDATES = 50
const IDS_AT_ONCE = 500
/** Numbers in one request, about 10 MB as JSON: a server takes 32 MB unless it is told otherwise. */
const NUMBERS_AT_ONCE = 500_000
/** Made for this use: ids are names in it. */
const NAMESPACE = 'f5e523e2-e14e-460a-a388-ff0596b1bf9d'

/** What a point holds besides its vectors. */
interface Payload {
  id: string
  text: string
  /** JSON, so that numbers come back with every digit. */
  metadata: string
  labels: string[]
}

/**
 * The vectors port on a Qdrant server, 1.10 or newer, by REST: a collection of its own for each collection of a tenant. Qdrant compares
 * all vectors while they are few and searches its graph (HNSW) when they are many, so a dense search among many is near, not exact.
 * Words are sparse vectors, weighed by BM25. A write is confirmed when the next search finds it; a large batch goes over in parts.
 * Nothing is asked of the server at opening.
 * @throws `invalid_input` without a URL
 */
export async function openQdrantVectors({ url, apiKey, prefix, timeoutMilliseconds }: QdrantOptions): Promise<Vectors> {
  if (!url) throw new SomaError('invalid_input', 'Nothing says where Qdrant is. Set SOMA_QDRANT_URL, e.g. http://localhost:6333.')
  const client = await connect(url, apiKey, timeoutMilliseconds ?? TIMEOUT_MILLISECONDS)
  const server = new URL(url).origin
  /** By Qdrant's name. Another process may drop a collection and make it anew with another size. */
  const sizes = new Map<string, number>()

  const explained = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work()
    } catch (error) {
      throw explainFailure(error, server)
    }
  }

  /** @throws `not_found` */
  const at = <Result>(collection: Collection, work: () => Promise<Result>): Promise<Result> =>
    explained(async () => {
      try {
        return await work()
      } catch (error) {
        if (isStatus(error, 404)) throw collectionNotFound(collection.tenant, collection.name)
        throw error
      }
    })

  const learnSize = async (collection: Collection): Promise<number> => {
    const size = await at(collection, () => readDimensions(client, collection))
    sizes.set(collection.full, size)
    return size
  }

  /** Does the work with the size that is remembered, and once more with the real one when that may be why it was refused. */
  const withSize = async <Result>(collection: Collection, work: (dimensions: number) => Promise<Result>): Promise<Result> => {
    const remembered = sizes.get(collection.full)
    if (remembered === undefined) return at(collection, async () => work(await learnSize(collection)))
    try {
      return await at(collection, () => work(remembered))
    } catch (error) {
      if (!SomaError.is(error, 'invalid_input') && !SomaError.is(error, 'not_found')) throw error
      return at(collection, async () => work(await learnSize(collection)))
    }
  }

  return {
    ensureCollection: async (tenant, name, { dimensions = DEFAULT_DIMENSIONS } = {}) => {
      const collection = collectionOf(prefix, tenant, name)
      requireDimensions(dimensions)
      await explained(() => makeCollection(client, collection, dimensions))
      requireSameDimensions(name, await learnSize(collection), dimensions)
    },
    upsert: async (tenant, name, records) => {
      const collection = collectionOf(prefix, tenant, name)
      await withSize(collection, async (dimensions) => {
        const points = requireRecords(records, dimensions).map(pointOf)
        for (const some of portions(points, Math.ceil(NUMBERS_AT_ONCE / dimensions)))
          await client.upsert(collection.full, { wait: true, points: some })
      })
    },
    search: async (tenant, name, query) => {
      const collection = collectionOf(prefix, tenant, name)
      return withSize(collection, async (dimensions) => {
        const { vector, text, filter, limit } = requireQuery(query, dimensions)
        const isHybrid = vector !== undefined && text !== undefined
        const among = { filter: conditionOf(filter), limit: isHybrid ? Math.max(limit, MIN_CANDIDATES) : limit, with_payload: true }
        const words = text === undefined ? undefined : weighQuery(text)
        const searches = [
          ...(vector ? [{ query: [...vector], using: DENSE, ...among }] : []),
          // Nothing but signs was asked for: nothing holds it.
          ...(words && words.indices.length > 0 ? [{ query: words, using: WORDS, ...among }] : []),
        ]
        if (searches.length === 0) return []
        const answers = await client.queryBatch(collection.full, { searches })
        const rankings = answers.map(({ points }, index) => points.map((point) => hitOf(point, searches[index]?.using === WORDS)))
        return isHybrid ? fuseRankings(rankings).slice(0, limit) : rankings.flat()
      })
    },
    get: async (tenant, name, ids) => {
      const collection = collectionOf(prefix, tenant, name)
      const byId = new Map<string, VectorRecord>()
      for (const some of portions(ids.map(keyOf), IDS_AT_ONCE)) {
        const request = { ids: some, with_payload: true, with_vector: [DENSE] }
        const points = await at(collection, () => client.retrieve(collection.full, request))
        for (const point of points.map(recordOf)) byId.set(point.id, point)
      }
      return ids.flatMap((id) => byId.get(id) ?? [])
    },
    delete: async (tenant, name, ids) => {
      const collection = collectionOf(prefix, tenant, name)
      for (const some of portions(ids.map(keyOf), IDS_AT_ONCE))
        await at(collection, () => client.delete(collection.full, { wait: true, points: some }))
    },
    count: async (tenant, name) => {
      const collection = collectionOf(prefix, tenant, name)
      return (await at(collection, () => client.count(collection.full, { exact: true }))).count
    },
    dropCollection: async (tenant, name) => {
      const { full } = collectionOf(prefix, tenant, name)
      sizes.delete(full)
      await explained(() =>
        client.deleteCollection(full).catch((error) => {
          if (!isStatus(error, 404)) throw error
        }),
      )
    },
    listCollections: (tenant) => explained(() => listCollections(client, prefix, tenant)),
    version: () => explained(async () => (await client.versionInfo()).version),
    // The client's connections close by themselves and keep no process alive.
    close: async () => undefined,
  }
}

async function connect(url: string, apiKey: string | undefined, timeout: number): Promise<QdrantClient> {
  const { QdrantClient } = await import('@qdrant/js-client-rest')
  const { protocol, hostname, port, pathname } = new URL(url)
  return new QdrantClient({
    // In parts, for of a URL the client forgets the path, and it takes no port to mean 6333.
    host: hostname,
    port: port ? Number(port) : null,
    https: protocol === 'https:',
    prefix: pathname.replace(/\/$/, ''),
    // As a header, for given as a key the client prints a warning when the connection is not encrypted.
    headers: apiKey ? { 'api-key': apiKey } : {},
    timeout,
    // It would ask at once, and print.
    checkCompatibility: false,
  })
}

/** Qdrant names points by UUIDs. */
function keyOf(id: string): string {
  return v5(id, NAMESPACE)
}

function pointOf({ id, kept, text, metadata }: VectorRecord & { kept: Float32Array }) {
  const payload: Payload = { id, text: text.toWellFormed(), metadata: JSON.stringify(metadata), labels: labelsOf(metadata) }
  const words = weighText(text)
  const vector = words.indices.length > 0 ? { [DENSE]: [...kept], [WORDS]: words } : { [DENSE]: [...kept] }
  return { id: keyOf(id), vector, payload: { ...payload } }
}

function recordOf(point: { payload?: unknown; vector?: unknown }): VectorRecord {
  const { id, text, metadata } = point.payload as Payload
  return { id, text, metadata: JSON.parse(metadata) as Metadata, vector: (point.vector as { [DENSE]: number[] })[DENSE] }
}

function hitOf(point: { payload?: unknown; score: number }, isOfWords: boolean): VectorHit {
  const { id, text, metadata } = point.payload as Payload
  const score = isOfWords ? point.score / (1 + point.score) : Math.max(-1, Math.min(1, point.score))
  return { id, text, metadata: JSON.parse(metadata) as Metadata, score }
}

function conditionOf(filter: Metadata) {
  return { must: labelsOf(filter).map((value) => ({ key: 'labels', match: { value } })) }
}

function portions<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, part) => items.slice(part * size, (part + 1) * size))
}
