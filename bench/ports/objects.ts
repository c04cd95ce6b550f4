import { type Prepare, TENANT } from './port.ts'

const BYTES = 64 * 1024

/** An object of 64 KiB is put and read. */
export const prepareObjects: Prepare<'objects'> = async (objects) => ({
  async one(index) {
    const content = Buffer.alloc(BYTES, `object ${index} `)
    const { digest } = await objects.put(TENANT, content, 'application/octet-stream')
    const found = await objects.get(TENANT, digest)
    if (!content.equals(found)) throw new Error(`Object ${digest} came back different`)
  },
})
