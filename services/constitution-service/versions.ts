import type { ConstitutionVersion } from '@soma/contracts/constitution-version'
import { SomaError } from '@soma/contracts/errors'
import type { Sql, Statements } from '@soma/ports/sql/port'

/** The tenant whose constitution is the base of every other. */
export const PLATFORM = 'platform'

const COLUMNS = `tenant, version, yaml, digest, key_id as "keyId", signature, note, proposed_by as "proposedBy", published_by as "publishedBy",
  published_at as "publishedAt", rollback_to as "rollbackTo", review, emergency`

/** Versions that were published. They are never changed. */
export function createVersions(sql: Sql) {
  async function list(tenant: string, limit: number, before = 2_147_483_647): Promise<ConstitutionVersion[]> {
    const { rows } = await sql
      .tenant(tenant)
      .query(`select ${COLUMNS} from constitution.versions where tenant = $1 and version < $2 order by version desc limit $3`, [
        tenant,
        before,
        limit,
      ])
    return rows.map((row) => ({ ...row, publishedAt: row.publishedAt.toISOString() }))
  }

  return {
    list,

    /** The one in force. */
    newest: async (tenant: string): Promise<ConstitutionVersion | undefined> => (await list(tenant, 1))[0],

    /** @throws `not_found` */
    async get(tenant: string, version: number): Promise<ConstitutionVersion> {
      const [found] = await list(tenant, 1, version + 1)
      if (found?.version === version) return found
      throw new SomaError('not_found', `There is no version ${version} of the constitution of ${tenant}.`, { version })
    },

    /** The newest rules of every tenant that has its own, by their digest. */
    async overlays(): Promise<{ tenant: string; digest: string }[]> {
      const { rows } = await sql.platform.query(
        'select distinct on (tenant) tenant, digest from constitution.versions where tenant <> $1 order by tenant, version desc',
        [PLATFORM],
      )
      return rows
    },

    /** Once for a version, however often it is called. */
    async insert(transaction: Statements, made: ConstitutionVersion): Promise<void> {
      await transaction.query(
        `insert into constitution.versions (tenant, version, yaml, digest, key_id, signature, note, proposed_by, published_by, published_at,
           rollback_to, review, emergency) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict do nothing`,
        [
          ...[made.tenant, made.version, made.yaml, made.digest, made.keyId, made.signature, made.note, made.proposedBy],
          ...[made.publishedBy, made.publishedAt, made.rollbackTo, made.review, made.emergency],
        ],
      )
    },
  }
}

export type Versions = ReturnType<typeof createVersions>
