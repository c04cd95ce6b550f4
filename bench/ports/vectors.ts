import type { VectorRecord } from '@soma/ports/vectors/port'
import { type Prepare, TENANT } from './port.ts'

const COLLECTION = 'bench'
const RECORDS = 2000
const DIMENSIONS = 384

/** The ten nearest of 2,000 vectors of 384 dimensions are searched, each time for another one of them. */
export const prepareVectors: Prepare<'vectors'> = async (vectors) => {
  const records = Array.from({ length: RECORDS }, (_, number) => recordOf(number))
  await vectors.ensureCollection(TENANT, COLLECTION, { dimensions: DIMENSIONS })
  await vectors.upsert(TENANT, COLLECTION, records)
  return {
    async one(index) {
      const { id, vector } = records[index % RECORDS] as VectorRecord
      const [nearest] = await vectors.search(TENANT, COLLECTION, { vector, limit: 10 })
      if (nearest?.id !== id) throw new Error(`The nearest to ${id} is ${nearest?.id}`)
    },
  }
}

/** In all directions, and the same in each run. */
function recordOf(number: number): VectorRecord {
  const vector = Array.from({ length: DIMENSIONS }, (_, place) => Math.sin((number + 1) * (place + 1) ** 2))
  return { id: `record-${number}`, vector, text: `Record ${number}`, metadata: { number } }
}
