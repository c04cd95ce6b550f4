import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CloudEvent, DeadLetter, type Events, MAX_EVENT_BYTES } from './port.ts'

/** What every events driver promises. `openSecond` opens another process's view of the same topics. */
export function eventsConformance(
  driver: string,
  open: () => Promise<{ events: Events; openSecond(): Promise<Events>; close(): Promise<void> }>,
): void {
  describe(`events: ${driver}`, () => {
    let events: Events
    let second: Events
    let close: () => Promise<void>
    beforeAll(async () => {
      const opened = await open()
      events = opened.events
      second = await opened.openSecond()
      close = async () => {
        await second.close()
        await opened.close()
      }
    })
    afterAll(() => close())

    test('a handler gets every event as it was published, in the order of its key', async () => {
      const topic = randomUUID()
      const odd = testEvent('acme', 'odd', { text: 'ünïcode 🚀 "quoted" \\ \u0000', none: null, number: 1e21, deep: [{ list: [] }] })
      const all = [odd, ...ids(120).map((id, index) => testEvent(index % 3 ? 'acme' : 'globex', id))]
      const seen = await listen(events, topic)
      await events.publish(topic, all.slice(0, 50))
      for (const event of all.slice(50, 60)) await events.publish(topic, [event])
      await events.publish(topic, all.slice(60))
      await expect.poll(() => seen.length).toBe(all.length)
      for (const key of ['acme', 'globex']) expect(seen.filter(of(key))).toEqual(all.filter(of(key)))
    })

    test('publishing nothing is no error', async () => {
      await events.publish(randomUUID(), [])
    })

    test('what is published while nobody consumes is there later', async () => {
      const topic = randomUUID()
      await events.publish(topic, ids(5).map(acme))
      const seen = await listen(second, topic)
      await expect.poll(() => seen.map(idOf)).toEqual(ids(5))
    })

    test('each group sees every event; consumers of one group share, and each event is handled once', async () => {
      const topic = randomUUID()
      const [here, there, other] = [
        await listen(events, topic, 'shared'),
        await listen(second, topic, 'shared'),
        await listen(second, topic, 'other'),
      ]
      for (const id of ids(100)) await events.publish(topic, [acme(id)])
      await expect.poll(() => other.map(idOf)).toEqual(ids(100))
      await expect.poll(() => here.length + there.length).toBe(100)
      expect(new Set([...here, ...there].map(idOf)).size).toBe(100)
    })

    test('two consumers of a group in one process share as well', async () => {
      const topic = randomUUID()
      const [one, two] = [await listen(events, topic), await listen(events, topic)]
      await events.publish(topic, ids(20).map(acme))
      await expect.poll(() => one.length + two.length).toBe(20)
      expect(new Set([...one, ...two].map(idOf)).size).toBe(20)
    })

    test('an event id that the topic holds is not added twice, whoever publishes it, and new ones beside it are added', async () => {
      const topic = randomUUID()
      await events.publish(topic, [acme('a'), acme('a')])
      await events.publish(topic, [acme('b'), acme('a'), acme('c')])
      await Promise.all(
        ids(40).map((id, index) => (index % 2 ? events : second).publish(topic, [acme(`same-${Number(id) % 4}`), acme('a')])),
      )
      await events.publish(topic, [acme('end')])
      const seen = await listen(events, topic)
      await expect.poll(() => seen.at(-1)?.id).toBe('end')
      expect(seen.slice(0, 3).map(idOf)).toEqual(['a', 'b', 'c'])
      expect(seen.map(idOf).toSorted()).toEqual(['a', 'b', 'c', 'end', 'same-0', 'same-1', 'same-2', 'same-3'])
    })

    test('one tenant can not take an event id away from another', async () => {
      const topic = randomUUID()
      await events.publish(topic, [testEvent('globex', 'same'), acme('same')])
      const seen = await listen(events, topic)
      await expect.poll(() => seen.map((event) => event.partitionkey).toSorted()).toEqual(['acme', 'globex'])
    })

    test('a new group begins at the earliest event, or with what comes after it when it asks for the latest', async () => {
      const topic = randomUUID()
      await events.publish(topic, [acme('before')])
      const latest = await listen(events, topic, 'latest', { from: 'latest' })
      const earliest = await listen(events, topic, 'earliest')
      await events.publish(topic, [acme('after')])
      await expect.poll(() => latest.map(idOf)).toEqual(['after'])
      await expect.poll(() => earliest.map(idOf)).toEqual(['before', 'after'])
    })

    test('a group goes on where it was, in whatever process', async () => {
      const topic = randomUUID()
      const first: CloudEvent[] = []
      const consumer = await events.consume({ topic, group: 'g', handler: async (event) => void first.push(event) })
      await events.publish(topic, ids(10).map(acme))
      await expect.poll(() => first.length).toBe(10)
      await consumer.stop()
      await events.publish(topic, [acme('later')])
      const seen = await listen(second, topic, 'g', { from: 'latest' })
      await expect.poll(() => seen.map(idOf)).toEqual(['later'])
    })

    test('a consumer that stops finishes what it has in hand, and another takes over with the next', async () => {
      const topic = randomUUID()
      const held = openGate()
      const [taken, seen]: [CloudEvent[], CloudEvent[]] = [[], []]
      const slow = await events.consume({
        topic,
        group: 'g',
        handler: async (event) => {
          taken.push(event)
          await held.opened
        },
      })
      await events.publish(topic, ids(5).map(acme))
      await expect.poll(() => taken.length).toBe(1)
      await second.consume({ topic, group: 'g', handler: async (event) => void seen.push(event) })
      let isStopped = false
      const stopped = slow.stop().then(() => {
        isStopped = true
      })
      await events.publish(topic, [acme('last')])
      expect(isStopped).toBe(false)
      held.open()
      await stopped
      await expect.poll(() => seen.map(idOf)).toEqual([...ids(5).slice(1), 'last'])
      expect(taken.map(idOf)).toEqual(ids(5).slice(0, 1))
    })

    test('an event whose handler throws comes again before the next of its key, and holds up no other key', async () => {
      const topic = randomUUID()
      const calls: string[] = []
      let failures = 0
      await events.consume({
        topic,
        group: 'g',
        handler: async ({ id, partitionkey }) => {
          calls.push(id)
          // Only after the other key's event went through.
          if (id === 'bad' && (failures++ < 2 || !calls.includes('free'))) throw new Error(`not yet, ${partitionkey}`)
        },
        attempts: 20,
      })
      await events.publish(topic, [acme('bad'), acme('next'), testEvent('globex', 'free')])
      await expect.poll(() => calls).toContain('next')
      expect(calls.filter((id) => id !== 'free').slice(-2)).toEqual(['bad', 'next'])
      expect(failures).toBeGreaterThan(2)
    })

    test('an event that fails every attempt goes to the dead letters with its error, once, and the others go on', async () => {
      const topic = randomUUID()
      const calls: string[] = []
      const handler = async (event: CloudEvent) => {
        calls.push(event.id)
        if (event.id === 'bad') throw new Error('can not be read')
      }
      const consumer = await events.consume({ topic, group: 'g', attempts: 3, handler })
      await events.publish(topic, [acme('bad'), acme('good')])
      await expect.poll(() => calls).toEqual(['bad', 'bad', 'bad', 'good'])
      await consumer.stop()
      await events.rewind(topic, 'g')
      await events.consume({ topic, group: 'g', attempts: 1, handler })
      await expect.poll(() => calls.slice(4)).toEqual(['bad', 'good'])
      const dead = await listen(second, `${topic}.dead`)
      await events.publish(`${topic}.dead`, [acme('end')])
      await expect.poll(() => dead.at(-1)?.id).toBe('end')
      expect(dead).toHaveLength(2)
      const letter = CloudEvent.parse(dead[0])
      expect(letter).toMatchObject({ subject: 'bad', partitionkey: 'acme' })
      expect(DeadLetter.parse(letter.data)).toMatchObject({
        topic,
        group: 'g',
        attempts: 3,
        error: { message: 'can not be read' },
        event: acme('bad'),
      })
    })

    test('with handlers that fail now and then every key still gets all of its events in order', async () => {
      const topic = randomUUID()
      const keys = ['acme', 'globex', 'initech', 'umbrella']
      const all = ids(400).map((id, index) => testEvent(keys[index % keys.length] as string, id))
      const done: CloudEvent[] = []
      let calls = 0
      await events.consume({
        topic,
        group: 'g',
        attempts: 50,
        handler: async (event) => {
          if (++calls % 17 === 0) throw new Error('now and then')
          done.push(event)
        },
      })
      for (let start = 0; start < all.length; start += 40) await (start % 80 ? second : events).publish(topic, all.slice(start, start + 40))
      await expect.poll(() => done.length, { timeout: 30_000 }).toBe(all.length)
      for (const key of keys) expect(done.filter(of(key))).toEqual(all.filter(of(key)))
    })

    test('a group that is set back gets everything again; while somebody consumes it is not', async () => {
      const topic = randomUUID()
      const seen: CloudEvent[] = []
      const consume = () => events.consume({ topic, group: 'g', handler: async (event) => void seen.push(event) })
      const consumer = await consume()
      await events.publish(topic, ids(3).map(acme))
      await expect.poll(() => seen.length).toBe(3)
      await expect(second.rewind(topic, 'g')).rejects.toMatchObject({ code: 'conflict' })
      await expect(events.rewind(topic, 'g')).rejects.toMatchObject({ code: 'conflict' })
      await consumer.stop()
      await second.rewind(topic, 'g')
      await consume()
      await expect.poll(() => seen.map(idOf)).toEqual([...ids(3), ...ids(3)])
    })

    test('what is no event is refused with a sentence, and nothing of its publish stays', async () => {
      const topic = randomUUID()
      const circle: Record<string, unknown> = {}
      circle.self = circle
      const bad: [CloudEvent, RegExp][] = [
        [testEvent('Not A Tenant', 'x'), /no tenant/],
        [testEvent('acme', ''), /empty/],
        [testEvent('acme', 'two\nlines'), /line break/],
        [testEvent('acme', 'x'.repeat(600)), /600 bytes/],
        [testEvent('acme', 'large', 'x'.repeat(MAX_EVENT_BYTES)), /objects/],
        [testEvent('acme', 'circle', circle), /circle/],
        [{ ...acme('half'), type: undefined as unknown as string }, /no event/],
      ]
      for (const [event, why] of bad)
        await expect(events.publish(topic, [acme('innocent'), event])).rejects.toMatchObject({
          code: 'invalid_input',
          message: expect.stringMatching(why),
        })
      await events.publish(topic, [acme('end')])
      const seen = await listen(events, topic)
      await expect.poll(() => seen.map(idOf)).toEqual(['end'])
    })

    test('what is no topic, no group and no number of attempts is refused with a sentence', async () => {
      const handler = async () => undefined
      for (const topic of ['', '.', '..', 'two words', 'a/b', 'x'.repeat(300), 'ü']) {
        await expect(events.publish(topic, [acme('a')])).rejects.toMatchObject({ code: 'invalid_input' })
        await expect(events.consume({ topic, group: 'g', handler })).rejects.toMatchObject({ code: 'invalid_input' })
        await expect(events.rewind(topic, 'g')).rejects.toMatchObject({ code: 'invalid_input' })
      }
      await expect(events.consume({ topic: 'a', group: '', handler })).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(events.consume({ topic: 'a', group: 'g', handler, attempts: 0 })).rejects.toMatchObject({ code: 'invalid_input' })
    })

    test('topics whose names begin alike do not mix', async () => {
      const topic = randomUUID()
      const seen = await listen(events, topic)
      await events.publish(`${topic}.more`, [acme('other')])
      await events.publish(topic, [acme('own')])
      await expect.poll(() => seen.map(idOf)).toEqual(['own'])
    })

    test('closing stops the consumers; after it everything is refused', async () => {
      const { events: third, close: closeThird } = await open()
      const topic = randomUUID()
      const seen = await listen(third, topic)
      await third.publish(topic, [acme('a')])
      await expect.poll(() => seen.length).toBe(1)
      await third.close()
      await expect(third.publish(topic, [acme('b')])).rejects.toMatchObject({ code: 'shutting_down' })
      await expect(third.consume({ topic, group: 'g', handler: async () => undefined })).rejects.toMatchObject({ code: 'shutting_down' })
      await closeThird()
    })
  })
}

export function testEvent(tenant: string, id: string, data: unknown = { id }): CloudEvent {
  return {
    specversion: '1.0',
    id,
    source: 'tests',
    type: 'soma.test.happened',
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
    partitionkey: tenant,
    data,
  }
}

const acme = (id: string) => testEvent('acme', id)
const ids = (count: number) => Array.from({ length: count }, (_, index) => String(index))
const idOf = (event: CloudEvent) => event.id
const of = (key: string) => (event: CloudEvent) => event.partitionkey === key

/** What a consumer is given, as it comes. */
async function listen(events: Events, topic: string, group = 'g', options: { from?: 'earliest' | 'latest' } = {}): Promise<CloudEvent[]> {
  const seen: CloudEvent[] = []
  await events.consume({ topic, group, ...options, handler: async (event) => void seen.push(event) })
  return seen
}

function openGate() {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
