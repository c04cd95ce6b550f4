import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import type { PolicyChanges } from '@soma/kernel/gate/policy-changes'
import type { Keys } from '@soma/kernel/keys/keys'
import { checkConstitution, parseConstitution } from '@soma/ports/policy/check'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import type { Migration, Sql } from '@soma/ports/sql/port'

/** The tenant whose constitution is the base of every other. */
export const PLATFORM = 'platform'

export const CONSTITUTION_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-versions',
    up: `create table versions (
      tenant text not null, version integer not null, yaml text not null, digest text not null,
      key_id text not null, signature text not null, published_by text not null, published_at timestamptz(3) not null default now(),
      primary key (tenant, version)
    )`,
  },
]

export interface SignedConstitution {
  tenant: string
  version: number
  yaml: string
  /** sha-256 of the YAML text. */
  digest: string
  keyId: string
  /** Ed25519 over the digest, base64url. */
  signature: string
  publishedBy: string
  publishedAt: string
}

export function createConstitutions({ sql, keys, policyChanges }: { sql: Sql; keys: Keys; policyChanges: PolicyChanges }) {
  async function newest(tenant: string): Promise<SignedConstitution | undefined> {
    return (await versions(tenant, 1))[0]
  }

  async function versions(tenant: string, limit: number, before?: number): Promise<SignedConstitution[]> {
    const { rows } = await sql.pool.query(
      `select tenant, version, yaml, digest, key_id as "keyId", signature, published_by as "publishedBy", published_at
       from constitution.versions where tenant = $1 and version < $2 order by version desc limit $3`,
      [tenant, before ?? 2_147_483_647, limit],
    )
    return rows.map(({ published_at, ...row }) => ({ ...row, publishedAt: published_at.toISOString() }))
  }

  /** The newest rules of every tenant that has its own, by their digest. */
  async function overlays(): Promise<{ tenant: string; digest: string }[]> {
    const { rows } = await sql.pool.query(
      'select distinct on (tenant) tenant, digest from constitution.versions where tenant <> $1 order by tenant, version desc',
      [PLATFORM],
    )
    return rows
  }

  /** @throws `invalid_input` with every problem and its line */
  async function check(tenant: string, yaml: string): Promise<void> {
    const base = tenant === PLATFORM ? undefined : await newest(PLATFORM)
    const { problems } = await checkConstitution(yaml, () => openWasmPolicy(), base ? [parseConstitution(base.yaml)] : [])
    if (problems.length === 0) return
    const lines = problems.map((problem) => `line ${problem.line}: ${problem.message}`)
    throw new SomaError('invalid_input', `The constitution does not hold. ${lines.slice(0, 5).join(' ')}`, { problems })
  }

  /** When it resolves, the rules are in force in this process, and in the others at once or within a second. @throws `invalid_input`, `conflict` */
  async function publish(tenant: string, yaml: string, by: string): Promise<SignedConstitution> {
    const digest = sha256(yaml)
    const last = await newest(tenant)
    if (last?.digest === digest) return last
    await check(tenant, yaml)
    const key = await keys.signingKey('constitution')
    const inserted = sql.transaction(async (transaction) => {
      await transaction.query(
        'insert into constitution.versions (tenant, version, yaml, digest, key_id, signature, published_by) values ($1, $2, $3, $4, $5, $6, $7)',
        [tenant, (last?.version ?? 0) + 1, yaml, digest, key.id, key.sign(digest), by],
      )
      await policyChanges.note(transaction, tenant)
    })
    await inserted.catch((cause) => {
      if (cause.code === '23505')
        throw new SomaError('conflict', 'Another version was published at the same moment. Look at it and publish again.', {}, { cause })
      throw cause
    })
    await policyChanges.announce()
    return (await newest(tenant)) as SignedConstitution
  }

  return { newest, versions, overlays, check, publish }
}

export type Constitutions = ReturnType<typeof createConstitutions>
