import { SomaError } from '@soma/contracts/errors'
import { requireName, requireTenant } from '@soma/contracts/requirements'
import { sql as fragment, type Transaction } from 'kysely'
import type { Migration, Sql } from '../sql/port.ts'
import { openEnvelope, putInEnvelope, seal, unseal } from './envelope.ts'
import type { Secrets } from './port.ts'

const MAX_VALUE_BYTES = 1024 * 1024
const ROTATE_AT_ONCE = 100
const ROTATION_LOCK = 7_301_011
const CHECK = ['master key']

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

interface Tables {
  'secrets.versions': VersionRow & { updated_at: Date }
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
      return sql.tenant<Tables, { version: number }>(tenant, async (transaction) => {
        // The version is part of what is encrypted, so two writers of a name take turns.
        await fragment`select pg_advisory_xact_lock(hashtextextended(${`secrets/${tenant}/${name}`}, 0))`.execute(transaction)
        const version = ((await newestVersion(transaction, tenant, name)) ?? 0) + 1
        const { wrappedKey, sealed } = putInEnvelope(masterKey, [tenant, name, version], Buffer.from(value))
        await transaction
          .insertInto('secrets.versions')
          .values({ tenant, name, version, wrapped_key: wrappedKey, sealed, updated_at: fragment`now()` })
          .execute()
        return { version }
      })
    },
    read: async (tenant, name, version) => {
      requireSecret(tenant, name)
      if (version !== undefined && !(Number.isInteger(version) && version >= 1 && version < 2 ** 31)) {
        throw new SomaError('invalid_input', `${version} is no version of a secret. Versions are whole numbers from 1.`, { version })
      }
      const row = await sql.tenant<Tables, VersionRow | undefined>(tenant, (transaction) => {
        const query = transaction.selectFrom('secrets.versions').select(['tenant', 'name', 'version', 'wrapped_key', 'sealed'])
        const named = query.where('tenant', '=', tenant).where('name', '=', name)
        return (version === undefined ? named.orderBy('version', 'desc').limit(1) : named.where('version', '=', version)).executeTakeFirst()
      })
      return row && decrypt(masterKey, row).toString()
    },
    delete: async (tenant, name) => {
      requireSecret(tenant, name)
      await sql.tenant<Tables, unknown>(tenant, async (transaction) => {
        // Not between a rotation's reading and its writing: a secret deleted and written anew then would get its old value back.
        await fragment`select pg_advisory_xact_lock_shared(${ROTATION_LOCK})`.execute(transaction)
        await transaction.deleteFrom('secrets.versions').where('tenant', '=', tenant).where('name', '=', name).execute()
      })
    },
    list: async (tenant, prefix = '') => {
      requireTenant(tenant)
      if (prefix !== '') requireName('prefix of secret names', prefix)
      const rows = await sql.tenant<Tables, { name: string; version: number; updated_at: Date }[]>(tenant, (transaction) =>
        transaction
          .selectFrom('secrets.versions')
          .select(({ fn }) => ['name', fn.max('version').as('version'), fn.max('updated_at').as('updated_at')])
          .where('tenant', '=', tenant)
          .where(fragment<boolean>`starts_with(name, ${prefix})`)
          .groupBy('name')
          .orderBy('name')
          .execute(),
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
    close: async () => undefined,
  }
}

async function newestVersion(transaction: Transaction<Tables>, tenant: string, name: string): Promise<number | undefined> {
  const row = await transaction
    .selectFrom('secrets.versions')
    .select('version')
    .where('tenant', '=', tenant)
    .where('name', '=', name)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.version
}

/** Encrypts the versions that follow `last` anew, in a transaction of their own: a crash in between leaves every secret readable. */
async function rotateSome(sql: Sql, masterKey: Buffer, last: VersionRow | undefined): Promise<VersionRow[]> {
  return sql
    .platform<Tables>()
    .transaction()
    .execute(async (transaction) => {
      await fragment`select pg_advisory_xact_lock(${ROTATION_LOCK})`.execute(transaction)
      const all = transaction.selectFrom('secrets.versions').select(['tenant', 'name', 'version', 'wrapped_key', 'sealed'])
      const following = last
        ? all.where(fragment<boolean>`(tenant, name, version) > (${last.tenant}, ${last.name}, ${last.version}::int)`)
        : all
      const rows = await following.orderBy('tenant').orderBy('name').orderBy('version').limit(ROTATE_AT_ONCE).execute()
      for (const row of rows) {
        const { wrappedKey, sealed } = putInEnvelope(masterKey, placeOf(row), decrypt(masterKey, row))
        await transaction
          .updateTable('secrets.versions')
          .set({ wrapped_key: wrappedKey, sealed })
          .where('tenant', '=', row.tenant)
          .where('name', '=', row.name)
          .where('version', '=', row.version)
          .execute()
      }
      return rows
    })
}

/** The first to open the database leaves a mark under its key, which every later one must be able to read. */
async function requireSameMasterKey(sql: Sql, masterKey: Buffer): Promise<void> {
  await sql.pool.query('insert into secrets.master_key_check (sealed) values ($1) on conflict do nothing', [
    seal(masterKey, CHECK, Buffer.from('right')),
  ])
  const { rows } = await sql.pool.query('select sealed from secrets.master_key_check')
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

function requireSecret(tenant: string, name: string): void {
  requireTenant(tenant)
  requireName('name of the secret', name)
}

/** Says what is wrong with a value without saying the value. */
function requireValue(name: string, value: string): void {
  if (value === '') throw new SomaError('invalid_input', `The value of the secret "${name}" is empty. To remove a secret, delete it.`)
  const bytes = Buffer.byteLength(value)
  if (bytes > MAX_VALUE_BYTES) {
    throw new SomaError(
      'invalid_input',
      `The value of the secret "${name}" is ${bytes} bytes long; at most ${MAX_VALUE_BYTES} are allowed.`,
      { bytes },
    )
  }
  if (/\p{Surrogate}/u.test(value)) {
    throw new SomaError(
      'invalid_input',
      `The value of the secret "${name}" holds half a character (a lone surrogate). Encode binary values as base64.`,
    )
  }
}
