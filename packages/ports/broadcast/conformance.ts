import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Broadcast } from './port.ts'

/** What every broadcast driver promises. Each `open` stands for another process on the same backend. */
export function broadcastConformance(driver: string, open: () => Promise<Broadcast>): void {
  describe(`broadcast: ${driver}`, () => {
    let here: Broadcast
    let there: Broadcast
    beforeAll(async () => {
      here = await open()
      there = await open()
    })
    afterAll(() => Promise.all([here.close(), there.close()]))

    test('every subscriber in every process hears it, the speaker’s own included', async () => {
      const channel = randomUUID()
      const ears = await Promise.all([here, here, there].map((broadcast) => listenTo(broadcast, channel)))
      await here.publish(channel, { kill: 'everything' })
      for (const ear of ears) await expect.poll(ear.heard).toEqual([{ kill: 'everything' }])
    })

    test('a channel hears nothing of another, however alike', async () => {
      const channel = `${randomUUID()}/ü*`
      const ear = await listenTo(there, channel)
      for (const other of [`${channel} `, channel.toUpperCase(), channel.slice(0, -1), `${channel}*`])
        await here.publish(other, 'not for you')
      await here.publish(channel, 'for you')
      await expect.poll(ear.heard).toEqual(['for you'])
    })

    test('messages arrive in the order they were said, large between small', async () => {
      const channel = randomUUID()
      const ear = await listenTo(there, channel)
      const sizes = Array.from({ length: 40 }, (_, index) => (index % 3 === 0 ? 50_000 : 10))
      for (const [index, size] of sizes.entries()) await here.publish(channel, { index, text: 'x'.repeat(size) })
      await expect.poll(() => ear.heard().length).toBe(sizes.length)
      expect(ear.heard().map((message) => (message as { index: number }).index)).toEqual(sizes.map((_, index) => index))
    })

    test('a message of any JSON arrives as it was', async () => {
      const channel = randomUUID()
      const ear = await listenTo(there, channel)
      const said = fc.sample(fc.jsonValue(), { numRuns: 100 })
      for (const message of [...said, null, '', 'nul \0 and half a character \ud800', false]) await here.publish(channel, message)
      await expect.poll(() => ear.heard().length).toBe(said.length + 4)
      expect(ear.heard().slice(0, said.length)).toEqual(said.map((message) => JSON.parse(JSON.stringify(message))))
      expect(ear.heard().slice(said.length)).toEqual([null, '', 'nul \0 and half a character \ud800', false])
    })

    test.each([7_900, 7_950, 7_990, 7_999, 8_000, 8_001, 8_192, 100_000, 5_000_000])(
      'a message of %i bytes arrives whole',
      async (bytes) => {
        const channel = randomUUID()
        const ear = await listenTo(there, channel)
        // The whole payload of a backend may be a little longer than the message, so lengths around the limit are walked through.
        const around = bytes > 10_000 ? [0] : Array.from({ length: 12 }, (_, index) => index * 9)
        const texts = around.map((less) => `${'é'.repeat(Math.floor((bytes - less) / 2) - 1)}${less}`)
        for (const text of texts) await here.publish(channel, text)
        await expect.poll(() => ear.heard().length, { timeout: 10_000 }).toBe(texts.length)
        expect(ear.heard().every((heard, index) => heard === texts[index])).toBe(true)
      },
    )

    test('who stopped hears nothing more, and the others go on', async () => {
      const channel = randomUUID()
      const [stopping, staying] = [await listenTo(there, channel), await listenTo(there, channel)]
      await here.publish(channel, 1)
      await expect.poll(staying.heard).toEqual([1])
      await stopping.stop()
      await stopping.stop()
      await here.publish(channel, 2)
      await expect.poll(staying.heard).toEqual([1, 2])
      expect(stopping.heard()).toEqual([1])
      await staying.stop()
      const again = await listenTo(there, channel)
      await here.publish(channel, 3)
      await expect.poll(again.heard).toEqual([3])
      expect(staying.heard()).toEqual([1, 2])
    })

    test('a handler that throws keeps no other from hearing, and is warned of', async () => {
      const channel = randomUUID()
      const warnings: string[] = []
      const onWarning = (warning: Error) => warnings.push(warning.message)
      process.on('warning', onWarning)
      await there.subscribe(channel, (message) => {
        throw new Error(`broken by ${message}`)
      })
      const ear = await listenTo(there, channel)
      await here.publish(channel, 'one')
      await here.publish(channel, 'two')
      await expect.poll(ear.heard).toEqual(['one', 'two'])
      await expect.poll(() => warnings).toEqual(expect.arrayContaining(['broken by one', 'broken by two']))
      process.off('warning', onWarning)
    })

    test('what is closed hears and says nothing more', async () => {
      const channel = randomUUID()
      const third = await open()
      const [closing, staying] = [await listenTo(third, channel), await listenTo(there, channel)]
      await third.close()
      await here.publish(channel, 'after')
      await expect.poll(staying.heard).toEqual(['after'])
      expect(closing.heard()).toEqual([])
      await expect(third.publish(channel, 1)).rejects.toMatchObject({ code: 'shutting_down' })
      await expect(third.subscribe(channel, () => undefined)).rejects.toMatchObject({ code: 'shutting_down' })
    })

    test.each([
      ['no channel', '', 1],
      ['a NUL in the channel', 'a\0', 1],
      ['an endless channel', 'x'.repeat(100_000), 1],
      ['undefined', 'channel', undefined],
      ['a bigint', 'channel', 1n],
      ['a message that is too large', 'channel', 'x'.repeat(9 * 1024 * 1024)],
    ])('refuses %s', async (_, channel, message) => {
      await expect(here.publish(channel, message)).rejects.toMatchObject({ code: 'invalid_input' })
    })
  })
}

async function listenTo(broadcast: Broadcast, channel: string) {
  const messages: unknown[] = []
  const stop = await broadcast.subscribe(channel, (message) => messages.push(message))
  return { heard: () => messages, stop }
}
