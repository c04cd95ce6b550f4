import type { QdrantClient } from '@qdrant/js-client-rest'
import { requireTenant } from '@soma/contracts/requirements'
import { isStatus } from './qdrant-failure.ts'
import { collectionNotFound, requireCollection } from './rules.ts'

/** Names of the vectors of a point. */
export const DENSE = 'dense'
export const WORDS = 'words'

/** A collection of one tenant, and what Qdrant calls it. */
export interface Collection {
  tenant: string
  name: string
  /** Neither a tenant nor a collection has a dot in its name, so no two share one. */
  full: string
}

/** @throws `invalid_input` */
export function collectionOf(prefix: string, tenant: string, name: string): Collection {
  requireCollection(tenant, name)
  return { tenant, name, full: `${prefix}.${tenant}.${name}` }
}

/** Makes the collection and what it needs, unless it is there, as another process may be doing too. */
export async function makeCollection(client: QdrantClient, { full }: Collection, dimensions: number): Promise<void> {
  const known = await ifFound(client.getCollection(full))
  if (!known) {
    const vectors = { [DENSE]: { size: dimensions, distance: 'Cosine' as const } }
    // How rare a word is, the server knows; it counts only what is stored at the time of the search.
    const sparse = { [WORDS]: { modifier: 'idf' as const } }
    await client.createCollection(full, { vectors, sparse_vectors: sparse }).catch((error) => {
      if (!isStatus(error, 409)) throw error
    })
  }
  if (known?.payload_schema.labels) return
  await client.createPayloadIndex(full, { field_name: 'labels', field_schema: 'keyword', wait: true })
}

/** @throws `not_found` */
export async function readDimensions(client: QdrantClient, { tenant, name, full }: Collection): Promise<number> {
  const found = await ifFound(client.getCollection(full))
  const vectors = found?.config.params.vectors
  const size = vectors && DENSE in vectors ? (vectors[DENSE] as { size: number }).size : undefined
  if (size === undefined) throw collectionNotFound(tenant, name)
  return size
}

/** In the order of names. */
export async function listCollections(
  client: QdrantClient,
  prefix: string,
  tenant: string,
): Promise<{ name: string; dimensions: number }[]> {
  requireTenant(tenant)
  const beginning = `${prefix}.${tenant}.`
  const { collections } = await client.getCollections()
  const own = collections.flatMap(({ name }) => (name.startsWith(beginning) ? [name.slice(beginning.length)] : []))
  return Promise.all(
    own.sort().map(async (name) => ({ name, dimensions: await readDimensions(client, collectionOf(prefix, tenant, name)) })),
  )
}

async function ifFound<Result>(answer: Promise<Result>): Promise<Result | undefined> {
  try {
    return await answer
  } catch (error) {
    if (isStatus(error, 404)) return undefined
    throw error
  }
}
