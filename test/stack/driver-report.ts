import { SERVERS } from '@soma/stack/servers'
import { openStack } from '@soma/stack/stack'
import type { Reporter, TestCase } from 'vitest/node'

/** Which server stands behind a driver that is not named after it. */
const SERVER_OF: Readonly<Record<string, string>> = { journal: 'postgres', s3: 'minio', vault: 'openbao', openai: 'ray' }
/** `locks: redis`, the title that every conformance suite has. */
const SUITE = /^(?<port>[a-z]+): (?<driver>[a-z0-9-]+)$/

interface Tally {
  passed: number
  failed: number
}

/** One line a driver: the server's version, as it says it, and how many of the port's promises it kept. */
export default class DriverReport implements Reporter {
  private readonly tallies = new Map<string, Tally>()

  onTestCaseResult(test: TestCase): void {
    const [suite] = test.fullName.split(' > ')
    if (!suite || !SUITE.test(suite)) return
    const tally = this.tallies.get(suite) ?? { passed: 0, failed: 0 }
    if (test.result().state === 'passed') tally.passed++
    else tally.failed++
    this.tallies.set(suite, tally)
  }

  async onTestRunEnd(): Promise<void> {
    const stack = openStack(SERVERS)
    console.log('\nport         driver       server version             promises')
    for (const [suite, { passed, failed }] of [...this.tallies].sort()) {
      const { port = '', driver = '' } = SUITE.exec(suite)?.groups ?? {}
      const { version } = await stack.stateOf(SERVER_OF[driver] ?? driver)
      const broken = failed > 0 ? `, ${failed} not kept` : ''
      console.log(`${port.padEnd(12)} ${driver.padEnd(12)} ${(version ?? '').padEnd(26)} ${passed} kept${broken}`)
    }
  }
}
