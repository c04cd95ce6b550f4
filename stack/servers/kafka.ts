import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Admin } from '@platformatic/kafka'
import { execa } from 'execa'
import type { Cache } from '../cache.ts'
import { requireJava } from '../install/java.ts'
import { installMaven } from '../install/maven.ts'
import { defineServer, type Place } from '../server.ts'

const VERSION = '4.4.0'
/** The server, and what writes its log. */
const ARTIFACTS = [`org.apache.kafka:kafka_2.13:${VERSION}`, 'org.apache.logging.log4j:log4j-slf4j-impl:2.25.1']
const USER = 'soma'

const classpath = (cache: Cache) => join(cache.path(`maven/kafka-${VERSION}`), 'jars', '*')

/** One node that is broker and controller at once, without ZooKeeper. */
export const kafka = defineServer({
  name: 'kafka',
  summary: 'Events',
  version: VERSION,
  ports: ['server', 'sasl', 'controller'],
  async install(cache) {
    await requireJava(cache, 'java')
    await installMaven(cache, `kafka-${VERSION}`, ARTIFACTS)
  },
  async start(place, cache) {
    const settings = join(place.folder, 'server.properties')
    await writeFile(settings, settingsOf(place))
    await writeFile(join(place.folder, 'log4j2.properties'), LOGGING)
    if (!existsSync(join(place.folder, 'data', 'meta.properties'))) await format(place, cache, settings)
    const memory = ['-Xms128m', '-Xmx512m']
    const logging = `-Dlog4j2.configurationFile=${join(place.folder, 'log4j2.properties')}`
    await place.run({ name: 'kafka', command: 'java', args: [...memory, logging, '-cp', classpath(cache), 'kafka.Kafka', settings] })
  },
  checkReady: (place) => ask(place, (admin) => admin.metadata({ topics: [] })),
  env: (place) => ({
    SOMA_KAFKA_BROKERS: brokerOf(place, 'server'),
    KAFKA_SASL_BROKERS: brokerOf(place, 'sasl'),
    KAFKA_SASL_USERNAME: USER,
    KAFKA_SASL_PASSWORD: place.secret('password'),
  }),
  async readVersion(place) {
    // No request asks a broker for its version, but it writes it down when it starts.
    const log = await readFile(join(place.folder, 'kafka.log'), 'utf8')
    return [...log.matchAll(/Kafka version: (\S+)/g)].at(-1)?.[1] ?? ''
  },
})

const LOGGING = `
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.version.name = org.apache.kafka.common.utils.internals.AppInfoParser
logger.version.level = info
`

function settingsOf(place: Place): string {
  const listeners = [
    `PLAINTEXT://${brokerOf(place, 'server')}`,
    `SASL_PLAINTEXT://${brokerOf(place, 'sasl')}`,
    `CONTROLLER://${brokerOf(place, 'controller')}`,
  ]
  return `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@${brokerOf(place, 'controller')}
controller.listener.names=CONTROLLER
listeners=${listeners.join(',')}
advertised.listeners=${listeners.slice(0, 2).join(',')}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=${join(place.folder, 'data')}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
`
}

/** Makes the data folder, once, with the user of the SASL listener in it. */
async function format(place: Place, cache: Cache, settings: string): Promise<void> {
  const cluster = createHash('sha256').update(place.secret('cluster')).digest().subarray(0, 16).toString('base64url')
  const user = `SCRAM-SHA-512=[name=${USER},password=${place.secret('password')}]`
  const tool = ['-cp', classpath(cache), 'kafka.tools.StorageTool', 'format']
  await execa('java', [...tool, `--cluster-id=${cluster}`, '--config', settings, '--add-scram', user], { stdin: 'ignore' })
}

async function ask(place: Place, question: (admin: Admin) => Promise<unknown>): Promise<void> {
  const admin = new Admin({ clientId: 'stack', bootstrapBrokers: [brokerOf(place, 'server')], connectTimeout: 2000, retries: 0 })
  try {
    await question(admin)
  } finally {
    await admin.close()
  }
}

function brokerOf(place: Place, port: string): string {
  return `127.0.0.1:${place.port(port)}`
}
