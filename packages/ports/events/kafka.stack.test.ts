import { randomUUID } from 'node:crypto'
import { Admin, Consumer, Producer } from '@platformatic/kafka'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EVERY_TENANT } from '../journal/port.ts'
import { openPostgresJournal } from '../journal/postgres.ts'
import { openTestSql } from '../sql/testing.ts'
import { fromStack } from '../testing.ts'
import { eventsConformance, testEvent } from './conformance.ts'
import { openKafkaEvents } from './kafka/driver.ts'
import { readPartitionEnd } from './kafka/partition-end.ts'
import { createSender, type Outgoing } from './kafka/sender.ts'
import { clientOptions, type KafkaSettings } from './kafka/settings.ts'
import { countTopic, kafkaAt, readTopic } from './kafka/testing.ts'
import { createKafkaTopics } from './kafka/topics.ts'
import type { CloudEvent, Events } from './port.ts'

const kafkaOfStack = () => kafkaAt([fromStack('SOMA_KAFKA_BROKERS')])

async function open(settings: KafkaSettings = kafkaOfStack()) {
  const sql = await openTestSql()
  const journal = await openPostgresJournal(sql)
  const parts = { sql, journal, settings, standing: ['agent.audit'] }
  const events = await openKafkaEvents(parts)
  return {
    events,
    journal,
    openSecond: () => openKafkaEvents(parts),
    async close() {
      await events.close()
      await journal.close()
      await sql.close()
    },
  }
}

eventsConformance('kafka', open)

describe('what Kafka adds', () => {
  let events: Events
  let close: () => Promise<void>
  beforeAll(async () => {
    ;({ events, close } = await open())
  })
  afterAll(() => close())

  test('an event that two relays send at once is in the topic once', async () => {
    const { topic, outgoing, client, admin, openSender } = await openSenders()
    const senders = [openSender(), openSender()]
    const once = outgoing.slice(0, 300)
    await Promise.allSettled(senders.map((sender) => sender.send(once)))
    await Promise.allSettled(senders.map((sender) => sender.send(outgoing)))
    await openSender().send(outgoing)
    expect((await readTopic(kafkaOfStack(), topic)).toSorted(byId)).toEqual(outgoing.map(({ event }) => event).toSorted(byId))
    await Promise.all([client.close(), admin.close()])
  })

  test('a relay that takes over knows how far the one before had come, although others wrote to the topic since', async () => {
    const { topic, outgoing, client, admin, producer, kafkaTopics, openSender } = await openSenders({ partitions: 1 })
    await openSender().send(outgoing.slice(0, 7))
    await writeAsOther(topic, 300)
    const end = await readPartitionEnd(client, await kafkaTopics.find(topic), 0, producer)
    expect(end).toEqual({ sequence: 7, reached: 7n })
    await Promise.all([client.close(), admin.close()])
  })

  test('an event of somebody else in the binary mode is read, and what is no event is passed over', async () => {
    const topic = randomUUID()
    const seen: CloudEvent[] = []
    await events.publish(topic, [testEvent('acme', 'before')])
    await expect.poll(() => countTopic(kafkaOfStack(), topic)).toBe(1)
    const { data, datacontenttype, partitionkey, ...attributes } = testEvent('acme', 'foreign', { from: 'elsewhere' })
    const headers = Object.fromEntries(Object.entries(attributes).map(([name, text]) => [`ce_${name}`, Buffer.from(String(text))]))
    const binary = { key: partitionkey, value: JSON.stringify(data), headers: { ...headers, 'content-type': Buffer.from(datacontenttype) } }
    await produce(topic, [{ key: 'acme', value: 'no event at all', headers: {} }, binary])
    await events.consume({ topic, group: 'g', handler: async (event) => void seen.push(event) })
    await expect.poll(() => seen).toEqual([testEvent('acme', 'before'), testEvent('acme', 'foreign', { from: 'elsewhere' })])
  })

  test('a key that fails for long holds up no other key of its partition, for hundreds of events', async () => {
    const { events: onePartition, close: closeIt } = await open({ ...kafkaOfStack(), partitions: 1 })
    const topic = randomUUID()
    const done: string[] = []
    let isHealed = false
    await onePartition.consume({
      topic,
      group: 'g',
      attempts: 1000,
      handler: async ({ id, partitionkey }) => {
        if (partitionkey === 'acme' && !isHealed) throw new Error('not yet')
        done.push(id)
      },
    })
    await onePartition.publish(topic, [testEvent('acme', 'stuck')])
    const others = Array.from({ length: 400 }, (_, index) => `${index}`)
    await onePartition.publish(
      topic,
      others.map((id) => testEvent('globex', id)),
    )
    await expect.poll(() => done).toEqual(others)
    isHealed = true
    await expect.poll(() => done.at(-1)).toBe('stuck')
    await closeIt()
  })

  test('its standing topics are there at once, and no broker has to be there to publish', async () => {
    const admin = new Admin(clientOptions(kafkaOfStack()))
    await expect.poll(() => admin.listTopics()).toContain('agent.audit')
    await admin.close()
    const { events: alone, journal, close: closeIt } = await open(kafkaAt(['127.0.0.1:1']))
    await alone.publish('t', [testEvent('acme', 'a')])
    await expect.poll(() => journal.tail({ tenant: EVERY_TENANT, after: '0', streamPrefix: 'events/t/' })).toHaveLength(1)
    await expect(alone.version()).rejects.toMatchObject({ code: 'dependency_unavailable' })
    await expect(alone.rewind('t', 'g')).rejects.toMatchObject({ code: 'dependency_unavailable' })
    await closeIt()
  })

  test('a user is proven by SCRAM, and a wrong password is told without saying it', async () => {
    const [username, password] = [fromStack('KAFKA_SASL_USERNAME'), fromStack('KAFKA_SASL_PASSWORD')]
    const secured = kafkaAt([fromStack('KAFKA_SASL_BROKERS')])
    const right = await open({ ...secured, username, password })
    expect(await right.events.version()).toMatch(/^version not told, 1 broker of cluster \S+$/)
    await right.close()
    const wrong = await open({ ...secured, username, password: 'not-the-password' })
    const refused = await wrong.events.version().catch((error: Error) => error)
    expect(refused).toMatchObject({ code: 'dependency_unavailable', message: expect.stringMatching(/authentication/i) })
    expect(String(refused)).not.toContain('not-the-password')
    await wrong.close()
  })
})

/** What relays of one journal have in common. */
async function openSenders({ partitions = 6 } = {}) {
  const settings = { ...kafkaOfStack(), partitions }
  const topic = randomUUID()
  const admin = new Admin(clientOptions(settings))
  const client = new Consumer({ ...clientOptions(settings), retries: 20, groupId: 'tests' })
  const kafkaTopics = createKafkaTopics(admin, settings)
  const found = await kafkaTopics.find(topic)
  const producer = { id: 1_000_000n + BigInt(Math.floor(Math.random() * 1e9)), epoch: 0 }
  for (let partition = 0; partition < partitions; partition++)
    await expect.poll(() => readPartitionEnd(client, found, partition, producer).catch(() => undefined)).toBeDefined()
  const outgoing: Outgoing[] = Array.from({ length: 1000 }, (_, index) => {
    const id = String(index + 1).padStart(4, '0')
    return { topic, event: testEvent(`tenant-${index % 5}`, id), position: String(index + 1) }
  })
  return { topic, outgoing, client, admin, producer, kafkaTopics, openSender: () => createSender(client, kafkaTopics, producer) }
}

interface Foreign {
  key: string
  value: string
  headers: Record<string, Buffer>
}

async function produce(topic: string, messages: readonly Foreign[]): Promise<void> {
  const producer = new Producer({ ...clientOptions(kafkaOfStack()), idempotent: true })
  const partitioned = messages.map(({ key, value, headers }) => ({
    topic,
    key: Buffer.from(key),
    value: Buffer.from(value),
    headers: asMap(headers),
  }))
  await producer.send({ messages: partitioned })
  await producer.close()
}

const asMap = (headers: Record<string, Buffer>) => new Map(Object.entries(headers).map(([name, text]) => [Buffer.from(name), text]))

function writeAsOther(topic: string, count: number): Promise<void> {
  return produce(
    topic,
    Array.from({ length: count }, () => ({ key: 'other', value: '{}', headers: {} })),
  )
}

const byId = (one: CloudEvent, other: CloudEvent) => one.id.localeCompare(other.id)
