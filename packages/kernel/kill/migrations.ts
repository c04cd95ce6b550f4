import type { Migration } from '@soma/ports/sql/port'

export const KILL_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-switches',
    up: `create table switches (
      id text primary key, tenant text not null, scope text not null, target text not null, reason text not null,
      by text not null, at timestamptz(3) not null default now(), lifted_at timestamptz(3), lifted_by text
    );
    create index switches_on on switches (tenant) where lifted_at is null;`,
  },
  {
    name: '002-everybody-sees-what-stops-everything',
    up: "create policy everything on switches for select to soma_tenant using (scope = 'everything')",
  },
  {
    name: '003-drills',
    // Unlogged: after a crash nobody is there any more, and no drill is under way. What came of one is in the ledger.
    up: `create unlogged table processes (id text primary key, name text not null, seen_at timestamptz not null default clock_timestamp());
    create unlogged table drills (
      id text primary key, tenant text not null, scope text not null, target text not null, at timestamptz not null default clock_timestamp()
    );
    create unlogged table sightings (
      drill text not null references drills on delete cascade, process text not null, name text not null,
      at timestamptz not null default clock_timestamp(), actions json not null, primary key (drill, process)
    );`,
  },
]
