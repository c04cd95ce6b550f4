import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import { Reason } from '@soma/contracts/policy'
import { appendOnce } from '@soma/ports/journal/append-once'
import type { Journal } from '@soma/ports/journal/port'
import type { Migration, Sql } from '@soma/ports/sql/port'
import canonicalize from 'canonicalize'
import { z } from 'zod'

export const Approval = z.object({
  id: z.string(),
  action: z.string().describe('What is asked for: deliverable.start, tool.git.commit…'),
  summary: z.string().describe('One sentence for the person who decides'),
  arguments: z.unknown().describe('Exactly what will be done'),
  digest: z.string().describe('sha-256 of action and arguments; a changed argument makes the approval void'),
  reasons: z.array(Reason),
  run: z.string().optional(),
  project: z.string().optional(),
  deliverable: z.string().optional(),
  status: z.enum(['pending', 'approved', 'rejected']),
  requestedAt: z.string(),
  decidedAt: z.string().optional(),
  decidedBy: z.string().optional(),
  note: z.string().optional(),
})
export type Approval = z.infer<typeof Approval>

const APPROVAL_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-approvals',
    up: `create table approvals (
      tenant text not null, id text not null, action text not null, summary text not null, arguments json, digest text not null, reasons json not null,
      run text, project text, deliverable text, status text not null default 'pending',
      requested_at timestamptz(3) not null default now(), decided_at timestamptz(3), decided_by text, note text,
      primary key (tenant, id)
    );
    create index approvals_pending on approvals (tenant, requested_at) where status = 'pending';`,
  },
]

export interface ApprovalRequest {
  tenant: string
  action: string
  summary: string
  arguments: unknown
  reasons: readonly Reason[]
  /** The run that waits. Asking again for the same in the same run gives the same approval. */
  run: string
  project?: string
  deliverable?: string
}

export interface Approvals {
  request(request: ApprovalRequest): Promise<Approval>
  /** A person's word. @throws `not_found`; `conflict` when it was decided before, the other way */
  decide(request: { tenant: string; id: string; approve: boolean; by: string; note?: string }): Promise<Approval>
  get(tenant: string, id: string): Promise<Approval | undefined>
  list(tenant: string, query?: { status?: Approval['status']; project?: string; after?: string; limit?: number }): Promise<Approval[]>
  /**
   * Those of the ids that were approved for exactly this action and these arguments. The approval of a deliverable, which is bound to
   * its capsule and inputs, covers what that deliverable does.
   */
  granted(
    tenant: string,
    ids: readonly string[],
    what: { action: string; arguments: unknown; project?: string; deliverable?: string },
  ): Promise<string[]>
}

/** The action that policy is asked about before a deliverable is begun. */
export const DELIVERABLE_START = 'deliverable.start'

/** What binds an approval to what will be done. */
export function approvalDigest(action: string, args: unknown): string {
  return sha256(`${action}\n${canonicalize(args ?? null)}`)
}

export async function openApprovals({ sql, journal }: { sql: Sql; journal: Journal }): Promise<Approvals> {
  await sql.migrate('approvals', APPROVAL_MIGRATIONS)

  /** The ledger first: a word counts when it is recorded. Gives what the ledger holds at that place, ours or an earlier one. */
  async function record(tenant: string, approval: Approval): Promise<Approval> {
    const isRequest = approval.status === 'pending'
    const entry = await appendOnce(journal, {
      tenant,
      stream: `approval/${approval.id}`,
      expectedSeq: isRequest ? 0 : 1,
      entries: [{ kind: `approval.${isRequest ? 'requested' : approval.status}`, payload: approval }],
    })
    return entry.payload as Approval
  }

  const get = async (tenant: string, id: string) => {
    const { rows } = await sql.pool.query('select * from approvals.approvals where tenant = $1 and id = $2', [tenant, id])
    return rows[0] && fromRow(rows[0])
  }

  return {
    get,
    async request({ tenant, action, summary, arguments: args, reasons, run, project, deliverable }) {
      const digest = approvalDigest(action, args)
      const id = sha256(`${tenant}\n${run}\n${digest}`).slice(0, 32)
      const known = await get(tenant, id)
      if (known) return known
      const requestedAt = new Date().toISOString()
      const asked = { id, action, summary, arguments: args ?? null, digest, reasons: [...reasons], run, project, deliverable }
      const recorded = await record(tenant, { ...asked, status: 'pending', requestedAt })
      await sql.pool.query(
        `insert into approvals.approvals (tenant, id, action, summary, arguments, digest, reasons, run, project, deliverable, requested_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing`,
        [
          tenant,
          id,
          action,
          summary,
          JSON.stringify(args ?? null),
          digest,
          JSON.stringify(reasons),
          run,
          project ?? null,
          deliverable ?? null,
          recorded.requestedAt,
        ],
      )
      return (await get(tenant, id)) ?? recorded
    },
    async decide({ tenant, id, approve, by, note }) {
      const status = approve ? 'approved' : 'rejected'
      let approval = await get(tenant, id)
      if (!approval) throw new SomaError('not_found', `There is no approval ${id}.`, { id })
      if (approval.status === 'pending') {
        approval = await record(tenant, {
          ...approval,
          status,
          decidedAt: new Date().toISOString(),
          decidedBy: by,
          ...(note ? { note } : {}),
        })
        await sql.pool.query(
          `update approvals.approvals set status = $3, decided_at = $4, decided_by = $5, note = $6 where tenant = $1 and id = $2 and status = 'pending'`,
          [tenant, id, approval.status, approval.decidedAt, approval.decidedBy, approval.note ?? null],
        )
      }
      if (approval.status === status) return approval
      throw new SomaError('conflict', `Approval ${id} was ${approval.status} by ${approval.decidedBy} already.`, {
        id,
        status: approval.status,
      })
    },
    async list(tenant, { status, project, after, limit = 100 } = {}) {
      const { rows } = await sql.pool.query(
        `select * from approvals.approvals where tenant = $1 and ($2::text is null or status = $2) and ($3::text is null or project = $3)
         and ($4::text is null or (requested_at, id) < (select requested_at, id from approvals.approvals where tenant = $1 and id = $4))
         order by requested_at desc, id desc limit $5`,
        [tenant, status ?? null, project ?? null, after ?? null, limit],
      )
      return rows.map(fromRow)
    },
    async granted(tenant, ids, what) {
      if (ids.length === 0) return []
      const { rows } = await sql.pool.query(
        `select id from approvals.approvals where tenant = $1 and id = any($2) and status = 'approved'
         and (digest = $3 or action = $4 and project = $5 and deliverable = $6)`,
        [tenant, ids, approvalDigest(what.action, what.arguments), DELIVERABLE_START, what.project ?? null, what.deliverable ?? null],
      )
      return rows.map((row) => row.id as string)
    },
  }
}

interface Row {
  id: string
  action: string
  summary: string
  arguments: unknown
  digest: string
  reasons: Reason[]
  run: string | null
  project: string | null
  deliverable: string | null
  status: Approval['status']
  requested_at: Date
  decided_at: Date | null
  decided_by: string | null
  note: string | null
}

function fromRow(row: Row): Approval {
  return {
    id: row.id,
    action: row.action,
    summary: row.summary,
    arguments: row.arguments,
    digest: row.digest,
    reasons: row.reasons,
    status: row.status,
    requestedAt: row.requested_at.toISOString(),
    ...(row.run ? { run: row.run } : {}),
    ...(row.project ? { project: row.project } : {}),
    ...(row.deliverable ? { deliverable: row.deliverable } : {}),
    ...(row.decided_at ? { decidedAt: row.decided_at.toISOString(), decidedBy: row.decided_by ?? '' } : {}),
    ...(row.note ? { note: row.note } : {}),
  }
}
