import { SERVERS } from '@soma/stack/servers'
import { openStack } from '@soma/stack/stack'
import type { Reporter, TestCase } from 'vitest/node'

/** Which server stands behind a driver that is not named after it. */
const SERVER_OF: Readonly<Record<string, string>> = { journal: 'postgres', s3: 'minio', vault: 'openbao', openai: 'ray' }
/** `locks: redis`, the title that every conformance suite has. */
const SUITE = /^(?<port>[a-z]+): (?<driver>[a-z0-9-]+)$/

type State = 'passed' | 'failed' | 'skipped'

/** One line a driver: the server's version, as it says it, and how many of the port's promises it kept. */
export default class DriverReport implements Reporter {
  private readonly tallies = new Map<string, Record<State, number>>()

  onTestCaseResult(test: Pick<TestCase, 'fullName' | 'result'>): void {
    const [suite] = test.fullName.split(' > ')
    const { state } = test.result()
    if (!suite || !SUITE.test(suite) || state === 'pending') return
    const tally = this.tallies.get(suite) ?? { passed: 0, failed: 0, skipped: 0 }
    tally[state]++
    this.tallies.set(suite, tally)
  }

  async onTestRunEnd(): Promise<void> {
    const stack = openStack(SERVERS)
    for (const line of await this.lines(async (server) => (await stack.stateOf(server)).version)) console.log(line)
  }

  /** Drivers of which nothing was asked, since the run was narrowed to some tests, have no line. */
  async lines(versionOf: (server: string) => Promise<string | undefined>): Promise<string[]> {
    const asked = [...this.tallies].filter(([, { passed, failed }]) => passed + failed > 0).sort()
    const lines = asked.map(async ([suite, tally]) => {
      const { port = '', driver = '' } = SUITE.exec(suite)?.groups ?? {}
      const version = (await versionOf(SERVER_OF[driver] ?? driver)) ?? ''
      return `${port.padEnd(12)} ${driver.padEnd(12)} ${version.padEnd(26)} ${inWords(tally)}`
    })
    return ['\nport         driver       server version             promises', ...(await Promise.all(lines))]
  }
}

function inWords({ passed, failed, skipped }: Record<State, number>): string {
  return [`${passed} kept`, failed > 0 && `${failed} not kept`, skipped > 0 && `${skipped} not asked`].filter(Boolean).join(', ')
}
