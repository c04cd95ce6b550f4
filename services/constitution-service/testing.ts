import { randomBytes } from 'node:crypto'
import type { Principal } from '@soma/contracts/tenant'
import { createKeys } from '@soma/kernel/keys/keys'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openPostgresSecrets } from '@soma/ports/secrets/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { createConstitutions } from './constitutions.ts'
import { CONSTITUTION_MIGRATIONS } from './migrations.ts'

/** The service's own parts on a real database and journal. Who stands behind whom is what the test says. */
export async function openTestConstitutions() {
  const sql = await openTestSql()
  await sql.migrate('constitution', CONSTITUTION_MIGRATIONS)
  const journal = await openPostgresJournal(sql)
  const keys = createKeys(await openPostgresSecrets(sql, { masterKey: randomBytes(32) }))
  const world = {
    sql,
    journal,
    keys,
    /** Tenants in which nobody else could publish. */
    alone: new Set<string>(),
    /** Tenants whose change was announced. */
    announced: [] as string[],
    behind: new Map<string, string>(),
    constitutions: undefined as unknown as ReturnType<typeof createConstitutions>,
    async close() {
      await journal.close()
      await sql.close()
    },
  }
  world.constitutions = createConstitutions({
    ...{ sql, journal, keys },
    policyChanges: {
      note: async (_, tenant) => void world.announced.push(tenant),
      announce: async () => undefined,
      onChange: () => () => undefined,
      close: async () => undefined,
    },
    people: {
      in: async (tenant) => ({
        behind: (principal) => world.behind.get(principal) ?? principal,
        capabilitiesOf: () => undefined,
        isAlone: () => world.alone.has(tenant),
      }),
    },
    alwaysTwo: false,
  })
  return world
}

export const HEAD = 'apiVersion: soma.dev/v1\nkind: Constitution\nmetadata: { name: own, version: 1.0.0 }\n'

/** Rules as text, one a line of flow YAML. */
export function rulesText(...rules: string[]): string {
  return `${HEAD}rules:\n${rules.map((rule) => `  - ${rule}\n`).join('')}`
}

export const rule = (id: string, more: string) => `{ id: ${id}, says: The rule ${id} speaks., ${more} }`

export const person = (id: string, tenant: string): Principal => ({ id, kind: 'user', tenant, capabilities: ['*'], within: [] })
