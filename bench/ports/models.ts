import type { Prepare } from './port.ts'

/** A sentence becomes a vector. */
export const prepareModels: Prepare<'models'> = async (models) => ({
  async one(index) {
    const { vectors } = await models.embed({ texts: [`The deliverable number ${index} waits for approval.`] })
    if (vectors.length !== 1 || vectors[0]?.length === 0) throw new Error(`${vectors.length} vectors came back`)
  },
})
