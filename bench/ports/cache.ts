import { type Prepare, TENANT } from './port.ts'

const VALUE = { text: 'x'.repeat(1000) }

/** A value of a kilobyte is set and read. What the PostgreSQL driver has in memory is not asked for: a value just set never is there. */
export const prepareCache: Prepare<'cache'> = async (cache) => ({
  async one(index) {
    await cache.set(TENANT, `key-${index}`, { ...VALUE, index }, 60_000)
    const found = (await cache.get(TENANT, `key-${index}`)) as { index: number } | undefined
    if (found?.index !== index) throw new Error(`key-${index} holds ${JSON.stringify(found)}`)
  },
})
