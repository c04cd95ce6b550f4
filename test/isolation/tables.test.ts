import { afterAll, beforeAll, expect, test } from 'vitest'
import { tablesOf } from './every-table.ts'
import { type IsolationWorld, openIsolationWorld } from './world.ts'

/** Tables that belong to no tenant, each with the reason. No tenant's statement reaches them. */
const OF_NO_TENANT: Record<string, string> = {
  'analytics.progress': 'one row: how far the figures follow the journal',
  'approvals.followers': 'how far each follower of the journal is',
  'broadcast.large_messages': 'messages between processes, for minutes',
  'events.groups': 'how far each group of consumers is; a group sees every tenant',
  'events.kafka_producers': 'the number under which a Kafka cluster knows the platform',
  'identity.attempts': 'wrong passwords, by a digest of the name that was tried: before a tenant is known',
  'kill.processes': 'which processes there are',
  'kill.sightings': 'which process saw a drill; it names the actions of the drill’s own tenant only',
  'locks.leases': 'who holds which lock; a name, a process and a time',
  'policy.last_change': 'one row: the number of the last change of rules',
  'secrets.master_key_check': 'one row: a mark under the master key',
  'workflows.progress': 'one row: how far the list of runs follows the journal',
}

let world: IsolationWorld
beforeAll(async () => {
  world = await openIsolationWorld()
})
afterAll(() => world?.close())

test('every table is a tenant’s, under row-level security, or is listed here with the reason why it is nobody’s', async () => {
  const tables = (await tablesOf(world.sql)).filter(({ name }) => !name.endsWith('.migrations'))
  expect(tables.length).toBeGreaterThan(20)
  expect(tables.filter(({ hasTenant }) => !hasTenant).map(({ name }) => name)).toEqual(Object.keys(OF_NO_TENANT).sort())
  expect(tables.filter(({ hasTenant, isConfined }) => hasTenant && !isConfined)).toEqual([])
})

test('the tenants’ role reaches nothing but tables under row-level security, owns nothing and takes no other role', async () => {
  const { rows: reached } = await world.sql.platform.query(
    `select table_schema || '.' || table_name as name from information_schema.role_table_grants
     where grantee in ('soma_tenant', 'PUBLIC') and table_schema !~ '^(pg_|information_schema$)'`,
  )
  const confined = new Set((await tablesOf(world.sql)).filter(({ isConfined }) => isConfined).map(({ name }) => name))
  expect(reached.map(({ name }) => name).filter((name) => !confined.has(name))).toEqual([])
  const { rows: roles } = await world.sql.platform.query(
    `select rolname, rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb, rolreplication,
       (select count(*)::int from pg_auth_members where member = r.oid) as memberships,
       (select count(*)::int from pg_class where relowner = r.oid) as owned
     from pg_roles r where rolname in ('soma_tenant', 'soma_platform') order by 1`,
  )
  const nothing = {
    rolsuper: false,
    rolbypassrls: false,
    rolcanlogin: false,
    rolcreaterole: false,
    rolcreatedb: false,
    rolreplication: false,
  }
  expect(roles).toEqual(['soma_platform', 'soma_tenant'].map((rolname) => ({ rolname, ...nothing, memberships: 0, owned: 0 })))
})

test('what a tenant sees of others is what concerns everybody: first-party capsules, and what stops everything', async () => {
  const { rows } = await world.sql.platform.query(
    `select schemaname || '.' || tablename as table, policyname as policy, cmd, qual from pg_policies
     where 'soma_tenant' = any (roles) and policyname <> 'own_tenant' order by 1`,
  )
  expect(rows).toEqual([
    { table: 'capsules.capsules', policy: 'first_party', cmd: 'SELECT', qual: "(tenant = 'platform'::text)" },
    { table: 'kill.switches', policy: 'everything', cmd: 'SELECT', qual: "(scope = 'everything'::text)" },
  ])
  const { rows: own } = await world.sql.platform.query(
    `select distinct qual, with_check from pg_policies where 'soma_tenant' = any (roles) and policyname = 'own_tenant'`,
  )
  for (const { qual, with_check } of own) {
    expect(qual).toMatch(/^\(tenant = NULLIF\(current_setting\('soma\.tenant'::text, true\), ''::text\)\)$/)
    if (with_check !== null) expect(with_check).toBe(qual)
  }
})
