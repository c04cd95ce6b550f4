import type { BudgetAmount, BudgetState } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import type { Migration, Sql } from '@soma/ports/sql/port'
import type pg from 'pg'

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
      declare budget record;
      begin
        insert into budgets.reservations (tenant, key, budgets, amounts) values (of_tenant, of_key, ids, wanted) on conflict do nothing;
        if not found then return; end if;
        for budget in select * from budgets.budgets b where b.tenant = of_tenant and b.id = any(ids) order by b.id for update loop
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
        update budgets.budgets b set reserved = budgets.plus(b.reserved, wanted, 1) where b.tenant = of_tenant and b.id = any(ids);
      end $$;
      create function settle(of_tenant text, of_key text, actual double precision[]) returns void language plpgsql as $$
      declare reservation record;
      begin
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

  async function unflushed(statement: string, values: unknown[]): Promise<pg.QueryResult> {
    const client = await sql.pool.connect()
    try {
      await client.query('begin; set local synchronous_commit = off')
      const result = await client.query(statement, values)
      await client.query('commit')
      return result
    } catch (error) {
      await client.query('rollback').catch(() => undefined)
      throw error
    } finally {
      client.release()
    }
  }

  const settle: Budgets['settle'] = async ({ tenant, key, actual }) => {
    await unflushed('select budgets.settle($1, $2, $3)', [tenant, key, toArray(actual, 0)])
  }

  return {
    async open(tenant, id, limit) {
      await sql.pool.query(
        'insert into budgets.budgets (tenant, id, limits) values ($1, $2, $3) on conflict (tenant, id) do update set limits = excluded.limits',
        [tenant, id, toArray(limit, null)],
      )
    },
    async reserve({ tenant, key, budgets, amount }) {
      if (budgets.length === 0) return
      const { rows } = await unflushed('select refused, left_over from budgets.reserve($1, $2, $3, $4)', [
        tenant,
        key,
        budgets,
        toArray(amount, 0),
      ])
      if (rows.length === 0) return
      const left = toAmount(rows[0].left_over)
      throw new SomaError(
        'budget_exceeded',
        `Budget ${rows[0].refused} has too little left: ${describe(amount)} asked for, ${describe(left)} left. Raise its limit or end what spends it.`,
        { budget: rows[0].refused, asked: amount, left, retryable: false },
      )
    },
    settle,
    release: ({ tenant, key }) => settle({ tenant, key, actual: {} }),
    async state(tenant, id) {
      const { rows } = await sql.pool.query('select id, limits, reserved, spent from budgets.budgets where tenant = $1 and id = $2', [
        tenant,
        id,
      ])
      return rows[0] && toState(rows[0])
    },
    async list(tenant, { after = '', limit = 100 } = {}) {
      const { rows } = await sql.pool.query(
        'select id, limits, reserved, spent from budgets.budgets where tenant = $1 and id > $2 order by id limit $3',
        [tenant, after, limit],
      )
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

function describe(amount: BudgetAmount): string {
  const parts = AMOUNTS.flatMap((name) => {
    const value = amount[name]
    if (!value) return []
    return name === 'costMicros' ? [`$${(value / 1e6).toFixed(4)}`] : [`${value} ${name}`]
  })
  return parts.join(', ') || 'nothing'
}
