import { type ChildProcess, fork } from 'node:child_process'
import { randomInt, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openKafkaEvents } from '@soma/ports/events/kafka/driver'
import { countTopic, kafkaAt, readTopic } from '@soma/ports/events/kafka/testing'
import type { CloudEvent } from '@soma/ports/events/port'
import { EVERY_TENANT } from '@soma/ports/journal/port'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { tailAll } from '@soma/ports/journal/tail-all'
import { openTestSql } from '@soma/ports/sql/testing'
import { SERVERS } from '@soma/stack/servers'
import { openStack } from '@soma/stack/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { KafkaProcessOrder } from './kafka-process.ts'

/** How often the relaying process is killed. */
const ROUNDS = 8
/** Events that a process has confirmed before it is killed, at least and at the most. */
const CONFIRMED = 100
const MOST_CONFIRMED = 1500
/** A busy machine takes its time to start a process; a killed consumer's partitions are given away after ten seconds of silence. */
const PATIENT = { timeout: 240_000 }

/** A broker of our own, as it is going to be killed. */
const stack = openStack(SERVERS, await mkdtemp(join(tmpdir(), 'soma-kafka-')))
const sql = await openTestSql()
const journal = await openPostgresJournal(sql)
const children = new Set<ChildProcess>()
let brokers: string[] = []

beforeAll(async () => {
  await stack.up(['kafka'])
  brokers = [(await stack.env()).SOMA_KAFKA_BROKERS as string]
}, 600_000)
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await journal.close()
  await sql.close()
  await stack.remove()
}, 240_000)

test('relays that are killed lose no event, double none and keep the order of every key', { timeout: 1_200_000 }, async () => {
  const topic = randomUUID()
  let standby = startProcess(topic, 'publish', 'round-0')
  let arrived = 0
  for (let round = 1; round <= ROUNDS; round++) {
    const relaying = standby
    standby = startProcess(topic, 'publish', `round-${round}`)
    const enough = randomInt(CONFIRMED, MOST_CONFIRMED)
    await expect.poll(() => relaying.confirmed.length, PATIENT).toBeGreaterThanOrEqual(enough)
    await expect.poll(() => countTopic(kafkaAt(brokers), topic), PATIENT).toBeGreaterThan(arrived)
    await kill(relaying.child)
    arrived = await countTopic(kafkaAt(brokers), topic)
    const kept = new Set(await published(topic))
    expect(relaying.confirmed.filter((id) => !kept.has(id))).toEqual([])
  }
  await kill(standby.child)
  await expectRelayed(topic)
})

test('a broker that is killed makes events wait, and none is lost, doubled or refused', { timeout: 1_200_000 }, async () => {
  const topic = randomUUID()
  const steady = startProcess(topic, 'publish', 'steady')
  const events = await openKafkaEvents({ sql, journal, settings: kafkaAt(brokers) })
  const seen: CloudEvent[] = []
  await events.consume({ topic, group: 'g', handler: async (event) => void seen.push(event) })
  await expect.poll(() => seen.length, PATIENT).toBeGreaterThan(0)
  for (let round = 0; round < 2; round++) {
    await stack.down(['kafka'], { signal: 'SIGKILL' })
    // One that begins while the broker is away publishes as well.
    const publisher = startProcess(topic, 'publish', `away-${round}`)
    await expect.poll(() => publisher.confirmed.length, PATIENT).toBeGreaterThan(CONFIRMED)
    await stack.up(['kafka'])
    const handled = seen.length
    await expect.poll(() => seen.length, PATIENT).toBeGreaterThan(handled)
    await kill(publisher.child)
  }
  await kill(steady.child)
  await events.close()
  await expectRelayed(topic)
  const handled = firstTimes(seen)
    .filter(isOf('acme'))
    .map(({ id }) => id)
  expect(handled).toEqual((await published(topic, 'acme')).slice(0, handled.length))
})

test('what a killed consumer had in hand comes to another of its group', { timeout: 1_200_000 }, async () => {
  const topic = randomUUID()
  const [victim, publisher] = [startProcess(topic, 'consume', 'victim'), startProcess(topic, 'publish', 'steady')]
  await expect.poll(() => victim.got.length, PATIENT).toBeGreaterThan(CONFIRMED)
  await kill(victim.child)
  await kill(publisher.child)
  const events = await openKafkaEvents({ sql, journal, settings: kafkaAt(brokers) })
  const seen: CloudEvent[] = []
  await events.consume({ topic, group: 'g', handler: async (event) => void seen.push(event) })
  const all = await published(topic)
  await expect.poll(() => new Set([...victim.got, ...seen].map(({ id }) => id)).size, PATIENT).toBe(all.length)
  for (const tenant of ['acme', 'globex', 'initech', 'umbrella']) {
    const ids = seen.map(({ id, partitionkey }) => (partitionkey === tenant ? id : undefined)).filter((id) => id !== undefined)
    expect(ids).toEqual((await published(topic, tenant)).slice(-ids.length || all.length))
  }
  await events.close()
})

/** What the journal holds arrives in the topic, each event once, in the order of its key. */
async function expectRelayed(topic: string): Promise<void> {
  const relay = await openKafkaEvents({ sql, journal, settings: kafkaAt(brokers) })
  const all = await published(topic)
  await expect.poll(() => countTopic(kafkaAt(brokers), topic), PATIENT).toBeGreaterThanOrEqual(all.length)
  // Whatever would come twice comes before an event that is published after all of them.
  await relay.publish(topic, [{ ...(await lastEvent(topic)), id: 'end' }])
  await expect.poll(() => countTopic(kafkaAt(brokers), topic), PATIENT).toBeGreaterThan(all.length)
  await relay.close()
  const inTopic = await readTopic(kafkaAt(brokers), topic)
  for (const tenant of new Set(inTopic.map(({ partitionkey }) => partitionkey)))
    expect(inTopic.filter(isOf(tenant)).map(({ id }) => id)).toEqual(await published(topic, tenant))
  expect(inTopic).toHaveLength(all.length + 1)
}

/** Ids in the order of the journal, once nobody writes any more. */
async function published(topic: string, tenant: string | typeof EVERY_TENANT = EVERY_TENANT): Promise<string[]> {
  await journal.barrier()
  const ids: string[] = []
  for await (const { payload } of tailAll(journal, { streamPrefix: `events/${topic}/`, tenant, includeUnsettled: true }))
    ids.push((payload as CloudEvent).id)
  return ids
}

async function lastEvent(topic: string): Promise<CloudEvent> {
  const entries = await journal.tail({
    tenant: EVERY_TENANT,
    after: '0',
    streamPrefix: `events/${topic}/`,
    limit: 1,
    includeUnsettled: true,
  })
  return entries[0]?.payload as CloudEvent
}

/** At least once: what came again is looked at only when it first came. */
function firstTimes(events: readonly CloudEvent[]): CloudEvent[] {
  return [...new Map(events.toReversed().map((event) => [event.id, event])).values()].toReversed()
}

const isOf = (tenant: string) => (event: CloudEvent) => event.partitionkey === tenant

function startProcess(topic: string, does: KafkaProcessOrder['does'], name: string) {
  const child = fork(join(import.meta.dirname, 'kafka-process.ts'), { execArgv: ['--import', 'tsx'], serialization: 'advanced' })
  children.add(child)
  const confirmed: string[] = []
  const got: CloudEvent[] = []
  child.on('message', (message: { confirmed?: string[]; got?: CloudEvent }) => {
    if (message.confirmed) confirmed.push(...message.confirmed)
    if (message.got) got.push(message.got)
  })
  const order: KafkaProcessOrder = { connection: sql.connection, brokers, topic, does, name }
  child.send(order)
  return { child, confirmed, got }
}

async function kill(child: ChildProcess): Promise<void> {
  children.delete(child)
  if (child.exitCode !== null || child.signalCode !== null)
    throw new Error(`The process ended by itself: ${child.exitCode ?? child.signalCode}.`)
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}
