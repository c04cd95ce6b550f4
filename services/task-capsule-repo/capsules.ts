import type { KnownOperation } from '@soma/capsule/ajv'
import { capsuleDigest } from '@soma/capsule/digest'
import { parseCapsule } from '@soma/capsule/parse-capsule'
import { problemsError } from '@soma/capsule/problem'
import { type CapsuleSignature, signDigest, verifyCapsule } from '@soma/capsule/signature'
import type { StoredCapsule } from '@soma/contracts/capsule'
import { SomaError } from '@soma/contracts/errors'
import type { Keys } from '@soma/kernel/keys/keys'
import type { Migration, Sql } from '@soma/ports/sql/port'

/** The tenant whose capsules everybody sees: the first-party ones. */
export const PLATFORM = 'platform'

export const CAPSULE_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-capsules',
    up: `create table capsules (
      tenant text not null, name text not null, version text not null, digest text not null, status text not null,
      yaml text not null, capsule json not null, signatures json not null default '[]', created_at timestamptz(3) not null default now(),
      primary key (tenant, name, version)
    )`,
  },
  {
    name: '002-everybody-sees-the-first-party-ones',
    up: `create policy first_party on capsules for select to soma_tenant using (tenant = '${PLATFORM}')`,
  },
]

const FIELDS = `tenant, name, version, digest, status, yaml, capsule, signatures, created_at`

export interface CapsulesParts {
  sql: Sql
  keys: Keys
  operations: readonly KnownOperation[]
  /** Public keys, PEM, trusted besides the platform's own. */
  trustedKeys: readonly string[]
}

export function createCapsules({ sql, keys, operations, trustedKeys: configured }: CapsulesParts) {
  async function find(tenant: string, name: string, version: string): Promise<StoredCapsule | undefined> {
    const { rows } = await sql
      .tenant(tenant)
      .query(`select ${FIELDS} from capsules.capsules where tenant = any($1) and name = $2 and version = $3 order by tenant = $4 limit 1`, [
        [tenant, PLATFORM],
        name,
        version,
        PLATFORM,
      ])
    return rows[0] && fromRow(rows[0])
  }

  async function get(tenant: string, name: string, version: string): Promise<StoredCapsule> {
    const stored = await find(tenant, name, version)
    if (stored) return stored
    const { rows } = await sql
      .tenant(tenant)
      .query('select version from capsules.capsules where tenant = any($1) and name = $2 order by created_at', [[tenant, PLATFORM], name])
    const there =
      rows.length > 0 ? ` There are versions ${rows.map((row) => row.version).join(', ')}.` : ' soma capsule list names them all.'
    throw new SomaError('not_found', `There is no capsule ${name}@${version}.${there}`, { name, version })
  }

  /**
   * Checks a capsule and keeps it. The same text again changes nothing; a version that is signed never changes.
   * @throws `capsule_invalid` with every problem, `conflict`, `signature_invalid`
   */
  async function put(tenant: string, yaml: string, signatures: readonly CapsuleSignature[] = []): Promise<StoredCapsule> {
    const { capsule, problems } = parseCapsule(yaml, { operations })
    if (!capsule) throw problemsError('capsule_invalid', problems)
    const digest = capsuleDigest(capsule)
    const { name, version } = capsule.metadata
    if (tenant !== PLATFORM) await assertNotFirstParty(name)
    if (signatures.length > 0) verifyCapsule({ capsule, digest, signatures: [...signatures] }, await trustedKeys())
    const { rows } = await sql.tenant(tenant).query(
      `insert into capsules.capsules as c (tenant, name, version, digest, status, yaml, capsule, signatures) values ($1, $2, $3, $4, $5, $6, $7, $8)
       on conflict (tenant, name, version) do update
         set digest = excluded.digest, status = excluded.status, yaml = excluded.yaml, capsule = excluded.capsule, signatures = excluded.signatures
         where c.status = 'validated' or c.digest = excluded.digest and excluded.status = 'signed'
       returning ${FIELDS}`,
      [
        tenant,
        name,
        version,
        digest,
        signatures.length > 0 ? 'signed' : 'validated',
        yaml,
        JSON.stringify(capsule),
        JSON.stringify(signatures),
      ],
    )
    if (rows[0]) return fromRow(rows[0])
    const kept = await get(tenant, name, version)
    if (kept.digest === digest) return kept
    throw new SomaError('conflict', `Capsule ${name}@${version} is signed and never changes. Give the changed capsule a new version.`, {
      name,
      version,
      digest: kept.digest,
    })
  }

  /** True when exactly this text is kept and signed, so there is nothing to check or sign again. */
  async function isSigned(tenant: string, yaml: string): Promise<boolean> {
    const { rows } = await sql
      .tenant(tenant)
      .query("select 1 from capsules.capsules where tenant = $1 and yaml = $2 and status = 'signed' limit 1", [tenant, yaml])
    return rows.length > 0
  }

  /** A tenant's capsule never stands in for a first-party one: projects trust those by name. */
  async function assertNotFirstParty(name: string): Promise<void> {
    const { rows } = await sql
      .tenant(PLATFORM)
      .query('select 1 from capsules.capsules where tenant = $1 and name = $2 limit 1', [PLATFORM, name])
    if (rows.length > 0) throw new SomaError('conflict', `"${name}" is a first-party capsule. Give yours another name.`, { name })
  }

  /** Signs with the platform's key. */
  async function sign(tenant: string, name: string, version: string): Promise<StoredCapsule> {
    const stored = await get(tenant, name, version)
    if (stored.signatures.length > 0) return stored
    const { privateKey } = await keys.signingKey('capsules')
    const signature = signDigest(stored.digest, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), new Date())
    const { rows } = await sql
      .tenant(tenant)
      .query(
        `update capsules.capsules set status = 'signed', signatures = $4 where tenant = $1 and name = $2 and version = $3 and digest = $5 returning ${FIELDS}`,
        [tenant, name, version, JSON.stringify([signature]), stored.digest],
      )
    if (rows[0]) return fromRow(rows[0])
    throw new SomaError('conflict', `Capsule ${name}@${version} changed while it was signed. Look at it and sign again.`)
  }

  /** A capsule that may run: unchanged since it was signed by a key the platform trusts. @throws `not_found`, `signature_invalid` */
  async function resolve(tenant: string, name: string, version: string): Promise<StoredCapsule> {
    const stored = await get(tenant, name, version)
    verifyCapsule(stored, await trustedKeys())
    return stored
  }

  async function list(tenant: string, after: { name: string; version: string } | undefined, limit: number): Promise<StoredCapsule[]> {
    const { rows } = await sql
      .tenant(tenant)
      .query(
        `select ${FIELDS} from capsules.capsules where tenant = any($1) and ($2::text is null or (name, version) > ($2, $3)) order by name, version limit $4`,
        [[tenant, PLATFORM], after?.name ?? null, after?.version ?? null, limit],
      )
    return rows.map(fromRow)
  }

  async function trustedKeys(): Promise<string[]> {
    return [(await keys.signingKey('capsules')).publicKey, ...configured]
  }

  return { get, put, sign, isSigned, resolve, list }
}

export type Capsules = ReturnType<typeof createCapsules>

type Row = Omit<StoredCapsule, 'createdAt'> & { created_at: Date; tenant: string }

function fromRow({ created_at, tenant: _, ...row }: Row): StoredCapsule {
  return { ...row, createdAt: created_at.toISOString() }
}
