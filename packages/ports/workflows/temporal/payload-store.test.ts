import type { Payload } from '@temporalio/common'
import { expect, test } from 'vitest'
import { openPostgresJournal } from '../../journal/postgres.ts'
import { openTestSql } from '../../sql/testing.ts'
import { openRunIndex } from '../execution/run-index.ts'
import { createPayloadStore, sweepPayloads } from './payload-store.ts'

const about = (runId: string) => ({ type: 'workflow' as const, namespace: 'default', workflowId: `queue/acme/${runId}` })
const payloadOf = (characters: number): Payload => ({
  metadata: { encoding: Buffer.from('json/plain') },
  data: Buffer.from(JSON.stringify('x'.repeat(characters))),
})

async function openStore() {
  const sql = await openTestSql()
  const journal = await openPostgresJournal(sql)
  await openRunIndex(sql, journal)
  const close = async () => {
    await journal.close()
    await sql.close()
  }
  const run = (runId: string, status: string, endedAgo: string | null, parent: string | null = null) =>
    sql.platform.query(
      `insert into workflows.runs (tenant, run_id, workflow, status, generation, started_at, ended_at, parent)
       values ('acme', $1, 'w', $2, 1, now(), now() - $3::interval, $4)`,
      [runId, status, endedAgo, parent],
    )
  return { sql, store: createPayloadStore(sql, 'queue'), run, close }
}

test('a large payload travels as where it lies and comes back as it was, a small one as it is', async () => {
  const { store, close } = await openStore()
  const payloads = [payloadOf(10), payloadOf(3_000_000)]
  const sent = await store.encode(payloads, about('run'))
  expect(sent[0]).toEqual(payloads[0])
  expect(sent[1]?.data?.length).toBeLessThan(300)
  const [small, large] = await store.decode(sent)
  expect(small).toEqual(payloads[0])
  expect(Buffer.compare(large?.data as Uint8Array, payloads[1]?.data as Uint8Array)).toBe(0)
  expect(large?.metadata).toEqual(payloads[1]?.metadata)
  await close()
})

test('payloads are kept while the outermost run is open and for a day after, also those of children that ended', async () => {
  const { sql, store, run, close } = await openStore()
  await run('open', 'running', null)
  await run('open.1', 'completed', '3 days', 'open')
  await run('recent', 'completed', '1 hour')
  await run('old', 'completed', '2 days')
  await run('old.1', 'completed', '3 days', 'old')
  for (const runId of ['open', 'open.1', 'recent', 'old', 'old.1']) await store.encode([payloadOf(5000)], about(runId))
  await sweepPayloads(sql)
  const { rows } = await sql.platform.query('select run_id from workflows.payloads order by run_id')
  expect(rows.map(({ run_id }) => run_id)).toEqual(['open', 'open.1', 'recent'])
  await close()
})
