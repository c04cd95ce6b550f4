import { createHash } from 'node:crypto'
import type { Payload, PayloadCodec, SerializationContext } from '@temporalio/common'
import type { Sql } from '../../sql/port.ts'
import { workflowIdOf } from './protocol.ts'

/**
 * Bytes of a payload that still travel with Temporal's messages. A message holds 4 MB, and one may carry a thousand commands.
 */
const INLINE_BYTES = 2048
/** Marks a payload of which the message holds only where it lies. */
const MARK = 'soma-stored'
const MARKED = new Uint8Array([1])

interface Place {
  tenant: string
  runId: string
  /** sha-256, hex. */
  digest: string
}

/** Keeps what is too large for Temporal in PostgreSQL, under its run and its digest. */
export function createPayloadStore(sql: Sql, taskQueue: string): PayloadCodec {
  async function store(payload: Payload, owner: Omit<Place, 'digest'>): Promise<Payload> {
    const data = payload.data as Uint8Array
    const digest = createHash('sha256').update(data).digest('hex')
    await sql
      .tenant(owner.tenant)
      .query(
        `insert into workflows.payloads (tenant, run_id, digest, data) values ($1, $2, decode($3, 'hex'), $4) on conflict do nothing`,
        [owner.tenant, owner.runId, digest, data],
      )
    const place: Place = { ...owner, digest }
    return { metadata: { ...payload.metadata, [MARK]: MARKED }, data: Buffer.from(JSON.stringify(place)) }
  }

  async function fetch({ metadata, data }: Payload): Promise<Payload> {
    const { tenant, runId, digest } = JSON.parse(Buffer.from(data as Uint8Array).toString()) as Place
    const { rows } = await sql
      .tenant(tenant)
      .query<{ data: Buffer }>(`select data from workflows.payloads where tenant = $1 and run_id = $2 and digest = decode($3, 'hex')`, [
        tenant,
        runId,
        digest,
      ])
    if (!rows[0]) throw new Error(`The payload ${digest} of run ${runId} is no longer kept.`)
    const { [MARK]: _, ...rest } = metadata ?? {}
    return { metadata: rest, data: rows[0].data }
  }

  return {
    encode: (payloads, context) => {
      const owner = ownerOf(context, taskQueue)
      return Promise.all(payloads.map((payload) => (owner && isLarge(payload) ? store(payload, owner) : payload)))
    },
    decode: (payloads) => Promise.all(payloads.map((payload) => (payload.metadata?.[MARK] ? fetch(payload) : payload))),
  }
}

/** Removes what belongs to runs whose outermost run ended more than a day ago: nobody replays them on Temporal any more. */
export async function sweepPayloads(sql: Sql): Promise<void> {
  await sql.platform.query(
    `with recursive line as (
       select tenant, run_id as owner, run_id from (select distinct tenant, run_id from workflows.payloads) as owners
       union all
       select line.tenant, line.owner, inner_run.parent from line
       join workflows.runs as inner_run using (tenant, run_id) where inner_run.parent is not null
     )
     delete from workflows.payloads as payload
     using line join workflows.runs as outermost using (tenant, run_id)
     where payload.tenant = line.tenant and payload.run_id = line.owner
       and outermost.parent is null and outermost.ended_at < now() - interval '1 day'`,
  )
}

function isLarge({ data }: Payload): boolean {
  return (data?.length ?? 0) > INLINE_BYTES
}

function ownerOf(context: SerializationContext | undefined, taskQueue: string): Omit<Place, 'digest'> | undefined {
  const prefix = workflowIdOf(taskQueue, '', '').slice(0, -1)
  const id = context?.workflowId
  if (!id?.startsWith(prefix)) return undefined
  const [tenant = '', runId = ''] = id.slice(prefix.length).split('/')
  return { tenant, runId }
}
