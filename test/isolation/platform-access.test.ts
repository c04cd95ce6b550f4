import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const IS_TEST = /\.test\.ts$|\/testing\.ts$|\/conformance(\.ts$|\/)/

/**
 * Who may use `sql.platform`, the database of all tenants. Whoever does something for one tenant uses `sql.tenant()` and is not named here.
 * In a file that does both, what it says here is all that it does for everybody.
 */
const USES_THE_PLATFORMS_DATABASE: Record<string, string> = {
  'packages/kernel/approvals/approval-rows.ts': 'finds the approvals of all tenants that are out of time',
  'packages/kernel/approvals/follow-approvals.ts': 'keeps how far a follower of all tenants’ journals is',
  'packages/kernel/auth/revocations.ts': 'every process holds the revocations of all tenants in memory',
  'packages/kernel/auth/verify-api-key.ts': 'whose a key is follows from the key',
  'packages/kernel/gate/policy-changes.ts': 'every process hears of the changes of all tenants’ rules',
  'packages/kernel/http/idempotency.ts': 'deletes what is too old',
  'packages/kernel/kill/drills.ts': 'every process says which actions of all tenants a drill met',
  'packages/kernel/kill/kill-switches.ts': 'every process holds the switches of all tenants in memory',
  'packages/kernel/ledger/ledger.ts': 'finds the tenants whose ledgers have news to sign',
  'packages/kernel/telemetry/kernel-metrics.ts': 'counts what stands still, over all tenants',
  'packages/ports/broadcast/postgres.ts': 'messages between processes',
  'packages/ports/cache/postgres.ts': 'deletes what is too old',
  'packages/ports/events/group-locks.ts': 'a group’s lock and place; it sees every tenant',
  'packages/ports/events/group-starts.ts': 'a group’s place; it sees every tenant',
  'packages/ports/events/kafka/driver.ts': 'a group’s place; it sees every tenant',
  'packages/ports/events/kafka/group-consumer.ts': 'a group’s place; it sees every tenant',
  'packages/ports/events/kafka/relay-lag.ts': 'how far the relay is behind the journal of all tenants',
  'packages/ports/events/kafka/relay.ts': 'sends the journal of all tenants',
  'packages/ports/journal/postgres.ts': 'the one writer of all tenants, and who says EVERY_TENANT',
  'packages/ports/locks/postgres.ts': 'leases between processes',
  'packages/ports/locks/redis-tokens.ts': 'numbers of leases between processes',
  'packages/ports/secrets/postgres.ts': 'encrypts all secrets under a new key',
  'packages/ports/workflows/execution/run-index.ts': 'follows the journal of all tenants; the engine goes on with all open runs',
  'packages/ports/workflows/journal-engine/ownership.ts': 'the lock of the one process that owns the runs',
  'packages/ports/workflows/temporal/payload-store.ts': 'deletes what belongs to runs that are long over',
  'services/analytics-service/figures.ts': 'reads which table the figures are in',
  'services/analytics-service/projection.ts': 'keeps how far the figures of all tenants follow the journal',
  'services/constitution-service/constitutions.ts':
    'numbers a change of rules among those of all tenants, in the transaction that makes it',
  'services/constitution-service/versions.ts': 'says to policy servers which tenants have rules of their own',
  'services/identity-service/first-administrator.ts': 'makes a key only where there is none at all',
  'services/identity-service/people/attempts.ts': 'counts attempts to sign in before anybody has',
  'services/identity-service/sweep.ts': 'deletes what is too old',
  'services/identity-service/tenants.ts': 'the list of tenants, for whoever runs the platform',
  'services/notification-service/webhooks/webhook-store.ts': 'takes the deliveries of all tenants that are due',
}

/** Who may read the journal of all tenants. */
const READS_EVERY_TENANTS_JOURNAL: Record<string, string> = {
  'packages/kernel/approvals/follow-approvals.ts': 'tells of answers, wherever they were given',
  'packages/ports/events/views.ts': 'topics hold the events of all tenants, each under its key',
  'packages/ports/journal/port.ts': 'where it is declared',
  'packages/ports/journal/postgres.ts': 'where it is done',
  'packages/ports/workflows/execution/run-index.ts': 'the list of runs of all tenants',
  'services/analytics-service/projection.ts': 'the figures of all tenants',
}

async function filesWith(pattern: RegExp): Promise<string[]> {
  const found: string[] = []
  for (const folder of ['packages', 'services', 'apps', 'tools']) {
    const entries = await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true })
    for (const { name, parentPath } of entries.filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))) {
      const file = relative(ROOT, join(parentPath, name))
      if (IS_TEST.test(file) || file.includes('node_modules')) continue
      if (pattern.test(await readFile(join(ROOT, file), 'utf8'))) found.push(file)
    }
  }
  return found.sort()
}

test('the database of all tenants is used by the files listed here, each for its reason, and by no others', async () => {
  const usual = /\bsql\.platform\b/
  const takenApart = /\{[^}]*\bplatform\b[^}]*\}[^\n]*\bSql\b/
  expect(await filesWith(new RegExp(`${usual.source}|${takenApart.source}`))).toEqual(Object.keys(USES_THE_PLATFORMS_DATABASE).sort())
})

test('the journal of all tenants is read by the files listed here, each for its reason, and by no others', async () => {
  expect(await filesWith(/\bEVERY_TENANT\b/)).toEqual(Object.keys(READS_EVERY_TENANTS_JOURNAL).sort())
})

test('nobody but the sql port changes the role of a connection', async () => {
  const changing = await filesWith(/\b(re)?set (local |session )?role\b|session authorization|set_config\(\s*'(role|soma\.tenant)'/i)
  expect(changing.filter((file) => !file.startsWith('packages/ports/sql/'))).toEqual([])
})
