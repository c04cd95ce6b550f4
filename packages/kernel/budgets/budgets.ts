import type { BudgetAmount, BudgetState } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import type { Migration, Sql } from '@soma/ports/sql/port'

/** The amounts, in the order the SQL functions take them: tokens, micro-dollars, calls, seconds. */
const AMOUNTS = ['tokens', 'costMicros', 'calls', 'seconds'] as const

/**
 * Arrays of four, in the order of AMOUNTS; `null` in a limit is no limit. A reservation is one statement that locks its budgets in
 * the order of their ids, so reservations never deadlock and never exceed a limit together.
 */
const BUDGET_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-budgets',
    up: `
      create table budgets (
        tenant text not null, id text not null,
        limits double precision[] not null,
        reserved double precision[] not null default '{0,0,0,0}',
        spent double precision[] not null default '{0,0,0,0}',
        primary key (tenant, id)
      );
      create table reservations (
        tenant text not null, key text not null, budgets text[] not null, amounts double precision[] not null,
        at timestamptz not null default now(),
        primary key (tenant, key)
      );
      create function plus(a double precision[], b double precision[], sign int) returns double precision[] language sql immutable as
        'select array[a[1] + sign * b[1], a[2] + sign * b[2], a[3] + sign * b[3], a[4] + sign * b[4]]';
      create function reserve(of_tenant text, of_key text, ids text[], wanted double precision[]) returns table (refused text, left_over double precision[]) language plpgsql as $$
      declare
        budget record;
        -- Those that are there by now: what is opened later was not charged and must not be credited.
        charged text[] := array(select b.id from budgets.budgets b where b.tenant = of_tenant and b.id = any(ids));
      begin
        if charged = '{}' then return; end if;
        perform set_config('synchronous_commit', 'off', true);
        insert into budgets.reservations (tenant, key, budgets, amounts) values (of_tenant, of_key, charged, wanted) on conflict do nothing;
        if not found then return; end if;
        for budget in select * from budgets.budgets b where b.tenant = of_tenant and b.id = any(charged) order by b.id for update loop
          for amount in 1..4 loop
            if wanted[amount] > 0 and budget.limits[amount] is not null and budget.reserved[amount] + budget.spent[amount] + wanted[amount] > budget.limits[amount] then
              refused := budget.id;
              left_over := budgets.plus(budget.limits, budgets.plus(budget.reserved, budget.spent, 1), -1);
              delete from budgets.reservations r where r.tenant = of_tenant and r.key = of_key;
              return next;
              return;
            end if;
          end loop;
        end loop;
        update budgets.budgets b set reserved = budgets.plus(b.reserved, wanted, 1) where b.tenant = of_tenant and b.id = any(charged);
      end $$;
      create function settle(of_tenant text, of_key text, actual double precision[]) returns void language plpgsql as $$
      declare reservation record;
      begin
        perform set_config('synchronous_commit', 'off', true);
        delete from budgets.reservations r where r.tenant = of_tenant and r.key = of_key returning * into reservation;
        if not found then return; end if;
        perform 1 from budgets.budgets b where b.tenant = of_tenant and b.id = any(reservation.budgets) order by b.id for update;
        update budgets.budgets b set reserved = budgets.plus(b.reserved, reservation.amounts, -1), spent = budgets.plus(b.spent, actual, 1)
          where b.tenant = of_tenant and b.id = any(reservation.budgets);
      end $$;
    `,
  },
]

export interface Budgets {
  /** Makes a budget, or changes the limit of the one that is there. What was spent stays. */
  open(tenant: string, id: string, limit: BudgetAmount): Promise<void>
  /**
   * Takes `amount` out of every budget named before it is spent, or out of none. Atomic across processes: concurrent reservations
   * never exceed a limit together. The same key again reserves nothing more. Budgets that don't exist don't limit.
   * @throws `budget_exceeded` with the budget and what is left in it
   */
  reserve(request: { tenant: string; key: string; budgets: readonly string[]; amount: BudgetAmount }): Promise<void>
  /** Puts what was really spent in the place of what was reserved. A key that is not reserved (settled before) changes nothing. */
  settle(request: { tenant: string; key: string; actual: BudgetAmount }): Promise<void>
  /** Gives back what was reserved and not spent. */
  release(request: { tenant: string; key: string }): Promise<void>
  state(tenant: string, id: string): Promise<BudgetState | undefined>
  list(tenant: string, query?: { after?: string; limit?: number }): Promise<BudgetState[]>
}

/**
 * Budgets in PostgreSQL. Reserving and settling commit without waiting for the disk: the journal's append that follows each of them
 * does wait, and what it flushes holds everything written before.
 */
export async function openBudgets(sql: Sql): Promise<Budgets> {
  await sql.migrate('budgets', BUDGET_MIGRATIONS)

  const settle: Budgets['settle'] = async ({ tenant, key, actual }) => {
    await sql.tenant(tenant).query({
      name: 'budgets-settle',
      text: 'select budgets.settle($1, $2, $3)',
      values: [tenant, key, toArray(actual, 0)],
    })
  }

  return {
    async open(tenant, id, limit) {
      await sql
        .tenant(tenant)
        .query(
          'insert into budgets.budgets (tenant, id, limits) values ($1, $2, $3) on conflict (tenant, id) do update set limits = excluded.limits',
          [tenant, id, toArray(limit, null)],
        )
    },
    async reserve({ tenant, key, budgets, amount }) {
      if (budgets.length === 0) return
      const { rows } = await sql.tenant(tenant).query({
        name: 'budgets-reserve',
        text: 'select refused, left_over from budgets.reserve($1, $2, $3, $4)',
        values: [tenant, key, budgets, toArray(amount, 0)],
      })
      if (rows.length > 0) throw exceeded(rows[0].refused, amount, rows[0].left_over)
    },
    settle,
    release: ({ tenant, key }) => settle({ tenant, key, actual: {} }),
    async state(tenant, id) {
      const { rows } = await sql
        .tenant(tenant)
        .query('select id, limits, reserved, spent from budgets.budgets where tenant = $1 and id = $2', [tenant, id])
      return rows[0] && toState(rows[0])
    },
    async list(tenant, { after = '', limit = 100 } = {}) {
      const { rows } = await sql
        .tenant(tenant)
        .query('select id, limits, reserved, spent from budgets.budgets where tenant = $1 and id > $2 order by id limit $3', [
          tenant,
          after,
          limit,
        ])
      return rows.map(toState)
    },
  }
}

function toArray(amount: BudgetAmount, missing: 0 | null): (number | null)[] {
  return AMOUNTS.map((name) => amount[name] ?? missing)
}

function toAmount(array: readonly (number | null)[]): BudgetAmount {
  return Object.fromEntries(
    AMOUNTS.flatMap((name, index) => (array[index] === null || array[index] === undefined ? [] : [[name, array[index]]])),
  )
}

function toState(row: { id: string; limits: (number | null)[]; reserved: number[]; spent: number[] }): BudgetState {
  return { id: row.id, limit: toAmount(row.limits), reserved: toAmount(row.reserved), spent: toAmount(row.spent) }
}

/** Says of each amount that was asked for how much is left; a budget whose limit was lowered may have less than nothing. */
function exceeded(budget: string, asked: BudgetAmount, leftOver: readonly (number | null)[]): SomaError {
  const left = toAmount(leftOver.map((value) => (value === null ? null : Math.max(value, 0))))
  const names = AMOUNTS.filter((name) => asked[name] && left[name] !== undefined)
  const describe = (amount: BudgetAmount) => names.map((name) => describeAmount(name, amount[name] ?? 0)).join(', ')
  return new SomaError(
    'budget_exceeded',
    `Budget ${budget} has too little left: ${describe(asked)} asked for, ${describe(left)} left. Raise its limit or end what spends it.`,
    { budget, asked, left, retryable: false },
  )
}

function describeAmount(name: (typeof AMOUNTS)[number], value: number): string {
  return name === 'costMicros' ? `$${(value / 1e6).toFixed(4)}` : `${value} ${name}`
}
