import type { Migration } from '@soma/ports/sql/port'

export const CONSTITUTION_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-versions',
    up: `create table versions (
      tenant text not null, version integer not null, yaml text not null, digest text not null,
      key_id text not null, signature text not null, published_by text not null, published_at timestamptz(3) not null default now(),
      primary key (tenant, version)
    )`,
  },
  {
    name: '002-review',
    up: `
      alter table versions add column note text not null default '', add column proposed_by text not null default '',
        add column rollback_to integer, add column review text not null default 'platform', add column emergency text;
      create table proposals (
        tenant text not null, id text not null, yaml text not null, digest text not null, note text not null, based_on integer not null,
        rollback_to integer, proposed_by text not null, proposed_at timestamptz(3) not null, status text not null default 'open',
        decided_by text, decided_at timestamptz(3), version integer,
        primary key (tenant, id)
      )`,
  },
]
