import { Readable } from 'node:stream'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { recordsOf } from './records.ts'

it('gives the same records however the stream was cut into chunks', async () => {
  const records = fc.array(
    fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes.map((byte) => byte || 1))),
    { minLength: 1 },
  )
  await fc.assert(
    fc.asyncProperty(records, fc.integer({ min: 1, max: 9 }), async (wanted, size) => {
      const whole = Buffer.concat(wanted.flatMap((record) => [record, Buffer.from([0])]))
      const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, index) => whole.subarray(index * size, (index + 1) * size))
      const seen: Buffer[] = []
      for await (const some of recordsOf(Readable.from(chunks))) seen.push(...some)
      expect(seen.map((record) => record.toString('hex'))).toEqual(wanted.map((record) => record.toString('hex')))
    }),
  )
})
