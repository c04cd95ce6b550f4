import type { Migration } from '../sql/port.ts'

export const EVENTS_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-groups',
    up: `create table groups (topic text collate "C", name text collate "C", position bigint not null, primary key (topic, name))`,
  },
  {
    name: '002-kafka-producers',
    up: `create table kafka_producers (cluster text primary key, producer_id bigint not null, epoch smallint not null)`,
  },
]
