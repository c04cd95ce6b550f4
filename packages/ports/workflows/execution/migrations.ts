import type { Migration } from '../../sql/port.ts'

/** Runs and progress are a projection of the journal, kept to list runs and to find the open ones. They can be dropped and are then built again. */
export const WORKFLOW_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-runs',
    up: `
      create table runs (
        tenant text not null,
        run_id text not null,
        workflow text not null,
        status text not null,
        generation integer not null,
        started_at timestamptz(3) not null,
        ended_at timestamptz(3),
        parent text,
        error json,
        primary key (tenant, run_id)
      );
      create index runs_open on runs (started_at) where status = 'running';
      create index runs_recent on runs (tenant, started_at desc);
      create table progress (single boolean primary key default true check (single), position bigint not null);
      insert into progress values (true, 0);
    `,
  },
  {
    name: '002-payloads',
    // What runs on Temporal handed over that is too large for its messages.
    up: `
      create table payloads (
        tenant text not null,
        run_id text not null,
        digest bytea not null,
        data bytea not null,
        primary key (tenant, run_id, digest)
      );
    `,
  },
]
