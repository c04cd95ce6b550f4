import type { Migration, Sql } from '@soma/ports/sql/port'
import type { Approval, ApprovalStatus } from './approval.ts'
import type { RecordedApproval } from './approval-state.ts'

/** `documents` follow from the journal; they are what approvals are found by. */
export const APPROVAL_MIGRATIONS: readonly Migration[] = [
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
  {
    name: '002-documents',
    up: `drop table approvals;
    create table documents (
      tenant text not null, id text not null, seq integer not null, place text not null, nth integer not null,
      status text not null, action text not null, run text, project text, deliverable text, requested_by text not null, on_behalf_of text,
      requested_at timestamptz(3) not null, expires_at timestamptz(3) not null, document json not null,
      primary key (tenant, id)
    );
    create index documents_listed on documents (tenant, requested_at desc, id desc);
    create index documents_of_a_place on documents (tenant, place, nth desc);
    create index documents_pending on documents (expires_at) where status = 'pending';
    create table followers (name text primary key, position bigint not null);`,
  },
]

export interface ApprovalQuery {
  /** Those in one of these states; all when left out. */
  status?: readonly ApprovalStatus[]
  /** An action, or all below one: `tool.git.*`. */
  action?: string
  run?: string
  project?: string
  deliverable?: string
  /** Who asked, or for whom an agent did. */
  requestedBy?: string
  /** Only those that end before this moment. */
  expiresBefore?: Date
  /** Id of the last one of the page before. */
  after?: string
  limit?: number
}

export function createApprovalRows(sql: Sql) {
  return {
    /** Writes down what the journal says, unless something later is there. */
    async put(tenant: string, { approval, asked: { place, nth }, seq }: RecordedApproval): Promise<void> {
      const { id, status, action, run, project, deliverable, requestedBy, onBehalfOf, requestedAt, expiresAt } = approval
      const found = [run, project, deliverable].map((each) => each ?? null)
      await sql.tenant(tenant).query(
        `insert into approvals.documents as known
           (tenant, id, seq, place, nth, status, action, run, project, deliverable, requested_by, on_behalf_of, requested_at, expires_at, document)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         on conflict (tenant, id) do update
           set seq = excluded.seq, status = excluded.status, expires_at = excluded.expires_at, document = excluded.document
           where known.seq < excluded.seq`,
        [
          tenant,
          id,
          seq,
          place,
          nth,
          status,
          action,
          ...found,
          requestedBy,
          onBehalfOf ?? null,
          requestedAt,
          expiresAt,
          JSON.stringify(approval),
        ],
      )
    },

    /** How often the same was asked at a place until now. */
    async lastAt(tenant: string, place: string): Promise<number> {
      const { rows } = await sql
        .tenant(tenant)
        .query('select nth from approvals.documents where tenant = $1 and place = $2 order by nth desc limit 1', [tenant, place])
      return rows[0]?.nth ?? 0
    },

    /** Newest first. */
    async list(tenant: string, query: ApprovalQuery): Promise<Approval[]> {
      const { status, action, run, project, deliverable, requestedBy, expiresBefore, after, limit = 100 } = query
      const below = action?.endsWith('.*') ? action.slice(0, -1) : undefined
      const { rows } = await sql.tenant(tenant).query(
        `select document from approvals.documents where tenant = $1
         and ($2::text[] is null or status = any($2))
         and ($3::text is null or action = $3) and ($4::text is null or starts_with(action, $4))
         and ($5::text is null or run = $5) and ($6::text is null or project = $6) and ($7::text is null or deliverable = $7)
         and ($8::text is null or requested_by = $8 or on_behalf_of = $8)
         and ($9::timestamptz is null or expires_at < $9)
         and ($10::text is null or (requested_at, id) < (select requested_at, id from approvals.documents where tenant = $1 and id = $10))
         order by requested_at desc, id desc limit $11`,
        [
          tenant,
          status ?? null,
          below === undefined ? (action ?? null) : null,
          below ?? null,
          run ?? null,
          project ?? null,
          deliverable ?? null,
          requestedBy ?? null,
          expiresBefore ?? null,
          after ?? null,
          limit,
        ],
      )
      return rows.map((row) => row.document as Approval)
    },

    /** Of all tenants, those whose time is over and that nobody has said so of. */
    async overdue(now: Date, limit: number): Promise<{ tenant: string; id: string }[]> {
      const { rows } = await sql.platform.query(
        `select tenant, id from approvals.documents where status = 'pending' and expires_at <= $1 order by expires_at limit $2`,
        [now, limit],
      )
      return rows
    },
  }
}
