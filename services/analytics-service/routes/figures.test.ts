import { openTestServer } from '@soma/kernel/http/testing'
import { createMetrics } from '@soma/kernel/telemetry/metrics'
import type { Analytics } from '@soma/ports/analytics/port'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createProjectMetrics } from '../project-metrics.ts'
import { createProjection } from '../projection.ts'
import { analyticsService } from '../service.ts'
import { at, openTestJournal, openTestStore, UNHURRIED, writeWorkingDay } from '../testing.ts'

let isDown = false
let ask: (url: string, caller?: string) => Promise<{ statusCode: number; headers: Record<string, unknown>; body: string; json(): unknown }>
let close: () => Promise<void>
const WINDOW = `from=${at(0)}&to=${at(1000)}`

beforeAll(async () => {
  const store = await openTestStore()
  const { sql, journal, close: closeJournal } = await openTestJournal()
  const analytics: Analytics = {
    ...store,
    queryWithin: (owner, text, parameters) => (isDown ? Promise.reject(new Error('gone')) : store.queryWithin(owner, text, parameters)),
  }
  await writeWorkingDay(journal, 'acme')
  const observe = createProjectMetrics({ journal, metrics: createMetrics({ processMetrics: false }) })
  const projection = createProjection({ sql, journal, analytics, observe })
  while (await projection.advance()) {}
  const server = await openTestServer([analyticsService], { config: { http: UNHURRIED }, needs: { sql, journal, analytics } })
  ask = (url, caller = 'acme/ada') => server.app.inject({ url, headers: { authorization: `Bearer ${caller}` } })
  close = async () => {
    await server.close()
    await closeJournal()
    await store.close()
  }
})
afterAll(() => close())

test('each route answers its tenant', async () => {
  expect((await ask(`/v1/analytics/summary?${WINDOW}`)).json()).toMatchObject({ runs: { completed: 2 }, spent: { calls: 2 } })
  expect((await ask(`/v1/analytics/operations?${WINDOW}`)).json()).toMatchObject({ items: [{ operation: 'git.log', calls: 2 }, {}] })
  expect((await ask(`/v1/kamachiq/summary?${WINDOW}`)).json()).toMatchObject({ successRate: 0.5, blockRate: 0.5, meanSeconds: 15 })
  expect((await ask('/v1/kamachiq/runs')).json()).toMatchObject({ items: [{ id: 'prj-open' }, { id: 'prj-failed' }, { id: 'prj-done' }] })
})

test('another tenant gets nothing of it', async () => {
  expect((await ask(`/v1/analytics/summary?${WINDOW}`, 'globex/bob')).json()).toMatchObject({ runs: { completed: 0 }, spent: { calls: 0 } })
  expect((await ask(`/v1/analytics/operations?${WINDOW}`, 'globex/bob')).json()).toEqual({ items: [] })
  expect((await ask(`/v1/kamachiq/summary?${WINDOW}`, 'globex/bob')).json()).toMatchObject({ successRate: null, projects: { done: 0 } })
  expect((await ask('/v1/kamachiq/runs', 'globex/bob')).json()).toEqual({ items: [], nextCursor: null })
})

test('pages of projects hold every project once', async () => {
  const ids: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { items, nextCursor } = (await ask(`/v1/kamachiq/runs?limit=1${cursor && `&cursor=${cursor}`}`)).json() as {
      items: { id: string }[]
      nextCursor: string | null
    }
    ids.push(...items.map(({ id }) => id))
    cursor = nextCursor
  }
  expect(ids).toEqual(['prj-open', 'prj-failed', 'prj-done'])
  expect((await ask('/v1/kamachiq/runs?cursor=nonsense')).json()).toMatchObject({ code: 'invalid_input' })
})

test('the same as CSV: quoted where it must be, without formulas, a header also over nothing', async () => {
  const projects = await ask('/v1/kamachiq/runs?format=csv')
  expect(projects.headers['content-type']).toBe('text/csv; charset=utf-8')
  expect(projects.body.split('\r\n')).toEqual([
    'id,name,status,startedAt,endedAt,seconds,deliverables.planned,deliverables.done,deliverables.failed,deliverables.blocked,calls,refused,tokens,costMicros',
    `prj-open,Open,running,${at(50)},,,1,0,0,1,0,0,0,0`,
    `prj-failed,'=1+1,failed,${at(30)},${at(40)},10,1,0,1,0,0,1,0,0`,
    `prj-done,"Repository, ""health""",done,${at(0)},${at(20)},20,2,2,0,0,2,0,20,14`,
    '',
  ])
  expect((await ask(`/v1/analytics/operations?${WINDOW}&format=csv`)).body).toBe(
    'operation,calls,failures,p50Milliseconds,p95Milliseconds\r\ngit.log,2,0,300,300\r\nfiles.read,1,1,,\r\n',
  )
  expect((await ask(`/v1/analytics/operations?${WINDOW}&format=csv`, 'globex/bob')).body).toBe(
    'operation,calls,failures,p50Milliseconds,p95Milliseconds\r\n',
  )
  const [head, row] = (await ask(`/v1/analytics/summary?${WINDOW}&format=csv`)).body.split('\r\n') as [string, string]
  expect(row.split(',')[head.split(',').indexOf('spent.costMicros')]).toBe('14')
  const [names, totals] = (await ask(`/v1/kamachiq/summary?${WINDOW}&format=csv`)).body.split('\r\n') as [string, string]
  expect(totals.split(',')[names.split(',').indexOf('successRate')]).toBe('0.5')
})

test('a page of CSV names the next one', async () => {
  const first = await ask('/v1/kamachiq/runs?format=csv&limit=2')
  const next = /^<(.+)>; rel="next"$/.exec(String(first.headers.link))?.[1] as string
  const second = await ask(next)
  expect(second.body).toContain('prj-done')
  expect(second.body).not.toContain('prj-open')
  expect(second.headers.link).toBeUndefined()
})

test.each([`from=${at(10)}&to=${at(10)}`, 'from=yesterday', 'format=xml', 'to=2026-13-01T00:00:00Z'])('%s is refused', async (query) => {
  expect((await ask(`/v1/analytics/summary?${query}`)).json()).toMatchObject({ code: 'invalid_input', status: 400 })
})

test('a store that is down makes the routes say so, and nothing else', async () => {
  isDown = true
  for (const url of ['/v1/analytics/summary', '/v1/analytics/operations', '/v1/kamachiq/runs', '/v1/kamachiq/summary']) {
    const answer = await ask(url)
    expect(answer.json()).toMatchObject({ code: 'dependency_unavailable', status: 503 })
    expect(answer.headers['retry-after']).toBe('5')
  }
  expect((await ask('/ready')).statusCode).toBe(200)
  isDown = false
  expect((await ask('/v1/analytics/summary')).statusCode).toBe(200)
})

test('both formats stand in the API document', async () => {
  const { paths } = (await ask('/openapi.json')).json() as {
    paths: Record<string, { get: { responses: Record<string, { content: object }> } }>
  }
  for (const path of ['/v1/analytics/summary', '/v1/kamachiq/runs'])
    expect(Object.keys(paths[path]?.get.responses['200']?.content ?? {})).toEqual(['application/json', 'text/csv'])
})
