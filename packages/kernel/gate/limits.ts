import type { Limit } from '@soma/contracts/policy'
import type { Migration, Sql, Statements } from '@soma/ports/sql/port'
import type { GateRequest } from './gate-request.ts'

const LIMIT_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-limits',
    // When what a rule limits went ahead, as far as it still counts.
    up: `create table limits (
      tenant text not null, rule text not null, subject text not null, taken timestamptz[] not null,
      primary key (tenant, rule, subject)
    )`,
  },
]

/** Counts what rules limit, in the database: the count is one for all processes and outlives each of them. */
export interface Limits {
  /**
   * Counts once against every one of these, or against none.
   * @returns the rules whose limit is used up; none: it was counted
   */
  take(request: GateRequest, limits: readonly Limit[]): Promise<string[]>
  /** The rules whose limit is used up at the moment. Counts nothing. */
  usedUp(request: GateRequest, limits: readonly Limit[]): Promise<string[]>
}

export async function openLimits(sql: Sql): Promise<Limits> {
  await sql.migrate('gate', LIMIT_MIGRATIONS)
  return {
    async take(request, limits) {
      const exceeded: string[] = []
      // In one order, so that two questions never wait for each other.
      const inOrder = limits.toSorted((one, other) => one.rule.localeCompare(other.rule))
      try {
        await sql.tenant(request.principal.tenant).transaction(async (transaction) => {
          for (const limit of inOrder) if (!(await takeOne(transaction, request, limit))) exceeded.push(limit.rule)
          if (exceeded.length > 0) throw new NotTaken()
        })
      } catch (error) {
        if (!(error instanceof NotTaken)) throw error
      }
      return exceeded
    },
    async usedUp(request, limits) {
      const { tenant } = request.principal
      const used = await Promise.all(
        limits.map(async (limit) => {
          const { rows } = await sql.tenant(tenant).query(
            `select count(*)::int as count from gate.limits, unnest(taken) as at
             where tenant = $1 and rule = $2 and subject = $3 and at > clock_timestamp() - make_interval(secs => $4)`,
            [tenant, limit.rule, subjectOf(request, limit), limit.seconds],
          )
          return rows[0].count >= limit.most ? [limit.rule] : []
        }),
      )
      return used.flat()
    },
  }
}

/** Takes back what the transaction counted. */
class NotTaken extends Error {}

/** The row is locked by the statement, so that no two callers take the last one. What no longer counts is dropped on the way. */
async function takeOne(transaction: Statements, request: GateRequest, limit: Limit): Promise<boolean> {
  if (limit.most === 0) return false
  const { tenant } = request.principal
  const subject = subjectOf(request, limit)
  const { rows } = await transaction.query(
    `insert into gate.limits as counted (tenant, rule, subject, taken) values ($1, $2, $3, array[clock_timestamp()])
     on conflict (tenant, rule, subject) do update
       set taken = array(select at from unnest(counted.taken) as at where at > clock_timestamp() - make_interval(secs => $4)) || clock_timestamp()
       where (select count(*) from unnest(counted.taken) as at where at > clock_timestamp() - make_interval(secs => $4)) < $5
     returning xmax = 0 as "isNew"`,
    [tenant, limit.rule, subject, limit.seconds, limit.most],
  )
  if (rows[0]?.isNew) await dropOutdated(transaction, tenant, limit)
  return rows.length === 1
}

/** Runs and projects end, and their counts with them. */
async function dropOutdated(transaction: Statements, tenant: string, { rule, seconds }: Limit): Promise<void> {
  await transaction.query(
    `delete from gate.limits where tenant = $1 and rule = $2 and subject in (
       select subject from gate.limits where tenant = $1 and rule = $2 and taken[cardinality(taken)] < clock_timestamp() - make_interval(secs => $3)
       for update skip locked)`,
    [tenant, rule, seconds],
  )
}

/** Whose count it is. What belongs to no project or run shares one. */
function subjectOf({ principal, context }: GateRequest, { per }: Limit): string {
  switch (per) {
    case 'tenant':
      return ''
    case 'principal':
      return principal.id
    case 'project':
      return context.project ?? ''
    case 'run':
      return context.run ?? ''
  }
}
