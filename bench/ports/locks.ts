import type { Prepare } from './port.ts'

/** A free lock is taken and given back. */
export const prepareLocks: Prepare<'locks'> = async (locks) => ({
  async one(index) {
    const name = `bench/${index}`
    const lease = await locks.tryAcquire(name, { ttlMilliseconds: 60_000 })
    if (!lease) throw new Error(`Nobody holds ${name}, and it was not to be had`)
    await lease.release()
  },
})
