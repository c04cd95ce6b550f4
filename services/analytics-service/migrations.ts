import type { Migration } from '@soma/ports/sql/port'

/**
 * How far the projection is. `generation` names the table in the analytics store; `through` is the end of the batch that is under way,
 * fixed before its first row is written; `counted` is how far the metrics are, which a rebuild does not go back over.
 */
export const ANALYTICS_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-progress',
    up: `
      create table progress (
        single boolean primary key default true check (single),
        generation text not null default '',
        position bigint not null default 0,
        through bigint,
        counted bigint not null default 0
      );
      insert into progress default values;
    `,
  },
]
