import type { Sql } from '@soma/ports/sql/port'
import { z } from 'zod'

export const Webhook = z.object({
  id: z.string(),
  url: z.string(),
  events: z.array(z.string()),
  createdBy: z.string(),
  createdAt: z.string(),
  isOn: z.boolean(),
  offReason: z.string().nullable().describe('Why nothing is sent any more'),
  waiting: z.number().int().describe('Events that were not delivered yet'),
  failures: z.number().int().describe('Attempts that failed since the last one that did not'),
  lastError: z.string().nullable(),
  lastSentAt: z.string().nullable(),
  nextAttemptAt: z.string().nullable().describe('Of what waits'),
})
export type Webhook = z.infer<typeof Webhook>

/** A delivery that a process has in hand. */
export interface Claimed {
  tenant: string
  webhook: string
  url: string
  position: string
  body: string
  failures: number
  failingSince: Date | null
}

const COLUMNS = `id, url, events, created_by as "createdBy", created_at as "createdAt", off_reason as "offReason", failures, last_error as "lastError",
  last_sent_at as "lastSentAt", due_at as "dueAt",
  (select count(*)::int from notification.deliveries d where d.tenant = w.tenant and d.webhook = w.id) as waiting`

export type WebhookStore = ReturnType<typeof createWebhookStore>

export function createWebhookStore(sql: Sql) {
  const one = async (tenant: string, text: string, values: unknown[]) => {
    const { rows } = await sql.tenant(tenant).query(text, values)
    return rows[0] && asWebhook(rows[0])
  }

  return {
    /** @param after position in the journal from which on it is told */
    add: (
      tenant: string,
      { id, url, events, createdBy, after }: Pick<Webhook, 'id' | 'url' | 'events' | 'createdBy'> & { after: string },
    ) =>
      one(
        tenant,
        `insert into notification.webhooks as w (tenant, id, url, events, created_by, sent_through) values ($1, $2, $3, $4, $5, $6) returning ${COLUMNS}`,
        [tenant, id, url, events, createdBy, after],
      ) as Promise<Webhook>,

    async list(tenant: string): Promise<Webhook[]> {
      const { rows } = await sql
        .tenant(tenant)
        .query(`select ${COLUMNS} from notification.webhooks w where tenant = $1 order by created_at, id`, [tenant])
      return rows.map(asWebhook)
    },

    remove: (tenant: string, id: string): Promise<Webhook | undefined> =>
      one(tenant, `delete from notification.webhooks w where tenant = $1 and id = $2 returning ${COLUMNS}`, [tenant, id]),

    /** Tries at once what waits. */
    turnOn: (tenant: string, id: string): Promise<Webhook | undefined> =>
      one(
        tenant,
        `update notification.webhooks w set off_reason = null, failures = 0, failing_since = null, due_at = now()
         where tenant = $1 and id = $2 returning ${COLUMNS}`,
        [tenant, id],
      ),

    /** Puts a change in line for every webhook of the tenant that wants to hear of it; again changes nothing. */
    async enqueue(tenant: string, change: { position: string; kind: string; body: string }): Promise<boolean> {
      const { rowCount } = await sql.tenant(tenant).query(
        `insert into notification.deliveries (tenant, webhook, position, body)
         select tenant, id, $2, $4 from notification.webhooks
         where tenant = $1 and off_reason is null and sent_through < $2
           and exists (select 1 from unnest(events) event where event = $3 or event = '*' or (event like '%.*' and starts_with($3, left(event, -1))))
         on conflict do nothing`,
        [tenant, change.position, change.kind, change.body],
      )
      return (rowCount ?? 0) > 0
    },

    /**
     * Takes the first delivery in line of each webhook whose turn it is, for so many seconds: nobody else sends to it meanwhile, so each
     * gets one after the other.
     */
    async claim(limit: number, seconds: number): Promise<Claimed[]> {
      const { rows } = await sql.platform.query<Claimed>(
        `with due as (
           select tenant, id from notification.webhooks w
           where off_reason is null and due_at <= now()
             and exists (select 1 from notification.deliveries d where d.tenant = w.tenant and d.webhook = w.id)
           order by due_at limit $1 for update skip locked
         ), taken as (
           update notification.webhooks w set due_at = now() + make_interval(secs => $2) from due
           where w.tenant = due.tenant and w.id = due.id
           returning w.tenant, w.id, w.url, w.failures, w.failing_since
         )
         select t.tenant, t.id as webhook, t.url, t.failures, t.failing_since as "failingSince", d.position, d.body
         from taken t cross join lateral (
           select position, body from notification.deliveries where tenant = t.tenant and webhook = t.id order by position limit 1
         ) d`,
        [limit, seconds],
      )
      return rows
    },

    async markSent({ tenant, webhook, position }: Claimed): Promise<void> {
      await sql.tenant(tenant).query(
        `with gone as (delete from notification.deliveries where tenant = $1 and webhook = $2 and position <= $3)
         update notification.webhooks set sent_through = greatest(sent_through, $3), failures = 0, failing_since = null, last_error = null,
           last_sent_at = now(), due_at = now()
         where tenant = $1 and id = $2`,
        [tenant, webhook, position],
      )
    },

    async markFailed({ tenant, webhook }: Claimed, error: string, next: { pauseSeconds: number; offReason?: string }): Promise<void> {
      await sql.tenant(tenant).query(
        `update notification.webhooks set failures = failures + 1, failing_since = coalesce(failing_since, now()), last_error = $3,
           due_at = now() + make_interval(secs => $4), off_reason = $5
         where tenant = $1 and id = $2`,
        [tenant, webhook, error, next.pauseSeconds, next.offReason ?? null],
      )
    },
  }
}

type Row = Omit<Webhook, 'createdAt' | 'isOn' | 'lastSentAt' | 'nextAttemptAt'> & { createdAt: Date; lastSentAt: Date | null; dueAt: Date }

function asWebhook(row: Record<string, unknown>): Webhook {
  const { createdAt, lastSentAt, dueAt, ...rest } = row as unknown as Row
  const isOn = rest.offReason === null
  return {
    ...rest,
    isOn,
    createdAt: createdAt.toISOString(),
    lastSentAt: lastSentAt?.toISOString() ?? null,
    nextAttemptAt: isOn && rest.waiting > 0 ? dueAt.toISOString() : null,
  }
}
