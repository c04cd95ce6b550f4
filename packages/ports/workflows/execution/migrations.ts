import type { Migration } from '../../sql/port.ts'

/** A projection of the journal, kept to list runs and to find the open ones at start-up. It can be dropped and is then built again. */
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
]
