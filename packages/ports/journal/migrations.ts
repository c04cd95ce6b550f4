import type { Migration } from '../sql/port.ts'

/**
 * `payload` is `json`, not `jsonb`: it keeps the text as written, so the digest can be checked on what is stored. `xid` is the
 * writing transaction: readers go no further than what every older transaction has settled. The one change that an entry allows is that
 * its payload is taken away, and its salt with it.
 */
export const JOURNAL_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-entries',
    up: `
      create table entries (
        position bigint generated always as identity primary key,
        xid xid8 not null default pg_current_xact_id(),
        tenant text collate "C" not null,
        stream text collate "C" not null,
        seq integer not null check (seq > 0),
        kind text not null,
        at timestamptz(3) not null,
        payload json,
        digest bytea not null,
        prev_hash bytea not null,
        hash bytea not null,
        unique (tenant, stream, seq)
      );
      create function keep_entries() returns trigger language plpgsql as $$
      begin
        raise exception 'journal entries are never changed or removed';
      end $$;
      create trigger keep_entries before delete or truncate on entries for each statement execute function keep_entries();
      create trigger keep_fields before update of position, xid, tenant, stream, seq, kind, at, digest, prev_hash, hash on entries
        for each statement execute function keep_entries();
    `,
  },
  {
    name: '003-roles',
    // Tenants read their own, the platform reads all and appends, and nobody removes.
    up: `
      alter table entries enable row level security;
      drop policy if exists own_tenant on entries;
      create policy own_tenant on entries for select to soma_tenant using (tenant = nullif(current_setting('soma.tenant', true), ''));
      create policy every_tenant on entries to soma_platform using (true);
      revoke insert, update, delete on entries from soma_tenant;
      grant select on entries to soma_tenant;
      grant select, insert, update on entries to soma_platform;
    `,
  },
  {
    name: '002-redaction',
    up: `
      alter table entries add column salt uuid;
      create trigger keep_payload before update of payload, salt on entries for each row
        when (new.payload is not null or new.salt is not null) execute function keep_entries();
    `,
  },
]
