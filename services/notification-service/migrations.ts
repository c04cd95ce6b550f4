import type { Migration } from '@soma/ports/sql/port'

export const NOTIFICATION_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-webhooks',
    up: `create table webhooks (
      tenant text not null, id text not null, url text not null, events text[] not null, created_by text not null,
      created_at timestamptz(3) not null default now(),
      -- Why nothing is sent any more; null while it is.
      off_reason text,
      -- Position in the journal of the last change that arrived.
      sent_through bigint not null,
      failures integer not null default 0, failing_since timestamptz(3), last_error text, last_sent_at timestamptz(3),
      -- The next attempt: after a failure later, and while a process has it in hand not before that may be gone.
      due_at timestamptz(3) not null default now(),
      primary key (tenant, id)
    );
    create table deliveries (
      tenant text not null, webhook text not null, position bigint not null, body text not null,
      primary key (tenant, webhook, position),
      foreign key (tenant, webhook) references webhooks on delete cascade
    );`,
  },
]
