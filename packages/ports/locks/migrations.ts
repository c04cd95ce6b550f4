import type { Migration } from '../sql/port.ts'

/** Of the schema `locks`, whichever driver gives out the leases: the tokens of all of them come from one sequence. */
export const LOCKS_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-leases',
    // The token is drawn in an UPDATE, that is after the row is locked, and never in the INSERT: drawn earlier, a holder that was
    // slow to insert could get a lower token than one who held the lock before it.
    up: `
      create table leases (name text primary key, holder text not null, token bigint not null, expires_at timestamptz not null);
      create sequence tokens;
      create function take(wanted text, by_holder text, ttl_milliseconds bigint, out taken bigint, out free_in_milliseconds double precision)
      language plpgsql as $$
      begin
        loop
          update locks.leases
            set holder = by_holder, token = nextval('locks.tokens'), expires_at = clock_timestamp() + ttl_milliseconds * interval '1 millisecond'
            where name = wanted and expires_at <= clock_timestamp()
            returning token into taken;
          exit when found;
          insert into locks.leases values (wanted, by_holder, 0, '-infinity') on conflict (name) do nothing;
          if not found then
            select extract(epoch from expires_at - clock_timestamp()) * 1000 into free_in_milliseconds from locks.leases where name = wanted;
            exit when free_in_milliseconds > 0;
          end if;
        end loop;
      end $$`,
  },
  {
    name: '002-blocks-of-tokens',
    // For drivers that give out tokens where they may be forgotten. The tokens are the next `size` after what is returned, and all that
    // are drawn later are higher. Blocks are drawn one at a time, for `setval` asks nobody.
    up: `
      create function take_block(size bigint) returns bigint language plpgsql as $$
      declare
        below bigint;
      begin
        perform pg_advisory_xact_lock(hashtext('locks.tokens'));
        select last_value into below from locks.tokens;
        perform setval('locks.tokens', below + size);
        return below;
      end $$`,
  },
]
