import { SomaError } from '@soma/contracts/errors'
import type { Migration, Sql, Statements } from '../sql/port.ts'
import { openEnvelope, putInEnvelope, seal, unseal } from './envelope.ts'
import type { Secrets } from './port.ts'
import { requirePrefix, requireSecret, requireValue, requireVersion } from './rules.ts'

const ROTATE_AT_ONCE = 100
const ROTATION_LOCK = 7_301_011
const CHECK = ['master key']

const FIELDS = 'tenant, name, version, wrapped_key, sealed'

const MIGRATIONS: Migration[] = [
  {
    name: '001-versions',
    up: `
      create table versions (
        tenant text not null,
        name text collate "C" not null,
        version int not null,
        wrapped_key bytea not null,
        sealed bytea not null,
        updated_at timestamptz not null default now(),
        primary key (tenant, name, version)
      );
      create table master_key_check (only_one boolean primary key default true check (only_one), sealed bytea not null)`,
  },
]

interface VersionRow {
  tenant: string
  name: string
  version: number
  wrapped_key: Buffer
  sealed: Buffer
}

/**
 * The secrets port on PostgreSQL: each version under a data key of its own, that key under the master key (AES-256-GCM), both bound
 * to tenant, name and version.
 * @param options.masterKey 32 bytes, see `loadMasterKey`
 * @throws `invalid_input` when it is not the key that the secrets in this database were written with
 */
export async function openPostgresSecrets(sql: Sql, { masterKey }: { masterKey: Buffer }): Promise<Secrets> {
  if (masterKey.length !== 32) {
    throw new SomaError(
      'invalid_input',
      `The master key has ${masterKey.length} bytes; it must have 32. Make one with: openssl rand -base64 32`,
    )
  }
  await sql.migrate('secrets', MIGRATIONS)
  await requireSameMasterKey(sql, masterKey)

  return {
    write: async (tenant, name, value) => {
      requireSecret(tenant, name)
      requireValue(name, value)
      return sql.tenant(tenant).transaction(async (transaction) => {
        // The version is part of what is encrypted, so two writers of a name take turns.
        await transaction.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`secrets/${tenant}/${name}`])
        const version = ((await newestVersion(transaction, tenant, name)) ?? 0) + 1
        const { wrappedKey, sealed } = putInEnvelope(masterKey, [tenant, name, version], Buffer.from(value))
        await transaction.query('insert into secrets.versions (tenant, name, version, wrapped_key, sealed) values ($1, $2, $3, $4, $5)', [
          tenant,
          name,
          version,
          wrappedKey,
          sealed,
        ])
        return { version }
      })
    },
    read: async (tenant, name, version) => {
      requireSecret(tenant, name)
      requireVersion(version)
      const { rows } = await sql
        .tenant(tenant)
        .query<VersionRow>(
          `select ${FIELDS} from secrets.versions where tenant = $1 and name = $2 and ($3::int is null or version = $3) order by version desc limit 1`,
          [tenant, name, version ?? null],
        )
      const [row] = rows
      return row && decrypt(masterKey, row).toString()
    },
    delete: async (tenant, name) => {
      requireSecret(tenant, name)
      await sql.tenant(tenant).transaction(async (transaction) => {
        // Not between a rotation's reading and its writing: a secret deleted and written anew then would get its old value back.
        await transaction.query('select pg_advisory_xact_lock_shared($1)', [ROTATION_LOCK])
        await transaction.query('delete from secrets.versions where tenant = $1 and name = $2', [tenant, name])
      })
    },
    list: async (tenant, prefix = '') => {
      requirePrefix(tenant, prefix)
      const { rows } = await sql.tenant(tenant).query<{ name: string; version: number; updated_at: Date }>(
        `select name, max(version) as version, max(updated_at) as updated_at from secrets.versions
           where tenant = $1 and starts_with(name, $2) group by name order by name`,
        [tenant, prefix],
      )
      return rows.map((row) => ({ name: row.name, version: row.version, updatedAt: row.updated_at.toISOString() }))
    },
    rotateKeys: async () => {
      let rotated = 0
      let last: VersionRow | undefined
      do {
        const rows = await rotateSome(sql, masterKey, last)
        rotated += rows.length
        last = rows.at(-1)
      } while (last)
      return { rotated }
    },
    version: () => sql.version(),
    close: async () => undefined,
  }
}

async function newestVersion(transaction: Statements, tenant: string, name: string): Promise<number | undefined> {
  const { rows } = await transaction.query('select max(version) as version from secrets.versions where tenant = $1 and name = $2', [
    tenant,
    name,
  ])
  return rows[0]?.version ?? undefined
}

/** Encrypts the versions that follow `last` anew, in a transaction of their own: a crash in between leaves every secret readable. */
async function rotateSome(sql: Sql, masterKey: Buffer, last: VersionRow | undefined): Promise<VersionRow[]> {
  return sql.platform.transaction(async (transaction) => {
    await transaction.query('select pg_advisory_xact_lock($1)', [ROTATION_LOCK])
    const { rows } = await transaction.query<VersionRow>(
      `select ${FIELDS} from secrets.versions where $1::text is null or (tenant, name, version) > ($1, $2, $3::int)
       order by tenant, name, version limit ${ROTATE_AT_ONCE}`,
      [last?.tenant ?? null, last?.name ?? null, last?.version ?? null],
    )
    for (const row of rows) {
      const { wrappedKey, sealed } = putInEnvelope(masterKey, placeOf(row), decrypt(masterKey, row))
      await transaction.query(
        'update secrets.versions set wrapped_key = $4, sealed = $5 where tenant = $1 and name = $2 and version = $3',
        [row.tenant, row.name, row.version, wrappedKey, sealed],
      )
    }
    return rows
  })
}

/** The first to open the database leaves a mark under its key, which every later one must be able to read. */
async function requireSameMasterKey(sql: Sql, masterKey: Buffer): Promise<void> {
  await sql.platform.query('insert into secrets.master_key_check (sealed) values ($1) on conflict do nothing', [
    seal(masterKey, CHECK, Buffer.from('right')),
  ])
  const { rows } = await sql.platform.query('select sealed from secrets.master_key_check')
  try {
    unseal(masterKey, CHECK, (rows[0] as { sealed: Buffer }).sealed)
  } catch {
    throw new SomaError(
      'invalid_input',
      'The master key is not the one that the secrets in this database are encrypted with. Set SOMA_MASTER_KEY to that key, or restore the file master.key of the data directory from a backup.',
    )
  }
}

function decrypt(masterKey: Buffer, row: VersionRow): Buffer {
  try {
    return openEnvelope(masterKey, placeOf(row), { wrappedKey: row.wrapped_key, sealed: row.sealed })
  } catch {
    throw new SomaError(
      'digest_mismatch',
      `Version ${row.version} of the secret "${row.name}" can not be decrypted: its row was changed, or copied from another secret. Write the secret anew, or restore the database from a backup.`,
      { tenant: row.tenant, name: row.name, version: row.version },
    )
  }
}

function placeOf(row: VersionRow): (string | number)[] {
  return [row.tenant, row.name, row.version]
}
