import type { ConstitutionProposal } from '@soma/contracts/constitution-version'
import { SomaError } from '@soma/contracts/errors'
import type { Sql, Statements } from '@soma/ports/sql/port'

const COLUMNS = `id, tenant, yaml, digest, note, based_on as "basedOn", rollback_to as "rollbackTo", proposed_by as "proposedBy",
  proposed_at as "proposedAt", status, decided_by as "decidedBy", decided_at as "decidedAt", version`

/** Rules that somebody wants to be in force, and what became of that. */
export function createProposals(sql: Sql) {
  async function find(tenant: string, id: string): Promise<ConstitutionProposal | undefined> {
    const { rows } = await sql
      .tenant(tenant)
      .query(`select ${COLUMNS} from constitution.proposals where tenant = $1 and id = $2`, [tenant, id])
    return rows[0] && fromRow(rows[0])
  }

  return {
    /** @throws `not_found` */
    async get(tenant: string, id: string): Promise<ConstitutionProposal> {
      const found = await find(tenant, id)
      if (found) return found
      throw new SomaError('not_found', `There is no proposal ${id}.`, { id })
    },

    /** Newest first. */
    async list(
      tenant: string,
      { status, limit, before }: { status?: ConstitutionProposal['status']; limit: number; before?: { proposedAt: string; id: string } },
    ): Promise<ConstitutionProposal[]> {
      const { rows } = await sql.tenant(tenant).query(
        `select ${COLUMNS} from constitution.proposals where tenant = $1 and ($2::text is null or status = $2)
         and ($3::timestamptz is null or (proposed_at, id) < ($3, $4)) order by proposed_at desc, id desc limit $5`,
        [tenant, status ?? null, before?.proposedAt ?? null, before?.id ?? null, limit],
      )
      return rows.map(fromRow)
    },

    async insert(made: ConstitutionProposal): Promise<void> {
      await sql.tenant(made.tenant).query(
        `insert into constitution.proposals (tenant, id, yaml, digest, note, based_on, rollback_to, proposed_by, proposed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing`,
        [
          ...[made.tenant, made.id, made.yaml, made.digest, made.note, made.basedOn, made.rollbackTo],
          ...[made.proposedBy, made.proposedAt],
        ],
      )
    },

    /** False when it was decided before. */
    async decide(
      transaction: Statements,
      { tenant, id, status, decidedBy, version }: Pick<ConstitutionProposal, 'tenant' | 'id' | 'status' | 'decidedBy' | 'version'>,
    ): Promise<boolean> {
      const { rowCount } = await transaction.query(
        `update constitution.proposals set status = $3, decided_by = $4, version = $5, decided_at = now()
         where tenant = $1 and id = $2 and status = 'open'`,
        [tenant, id, status, decidedBy, version],
      )
      return rowCount === 1
    },
  }
}

export type Proposals = ReturnType<typeof createProposals>

interface Row extends Omit<ConstitutionProposal, 'proposedAt' | 'decidedAt'> {
  proposedAt: Date
  decidedAt: Date | null
}

function fromRow(row: Row): ConstitutionProposal {
  return { ...row, proposedAt: row.proposedAt.toISOString(), decidedAt: row.decidedAt?.toISOString() ?? null }
}
