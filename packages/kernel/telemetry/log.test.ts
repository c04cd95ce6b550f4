import { expect, test } from 'vitest'
import { createLogger, withoutCredentials } from './log.ts'
import { createTracing } from './tracing.ts'

const KEY = `soma_${'0a'.repeat(12)}_${'Zz_-'.repeat(10)}abc`
const JWT = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c2VyOmFkYSJ9.c2lnbmF0dXJl'

async function logged(write: (log: Awaited<ReturnType<typeof createLogger>>) => void): Promise<string> {
  let lines = ''
  write(await createLogger({ level: 'info', format: 'json' }, { write: (line) => (lines += line) }))
  return lines
}

test('a line is JSON with level, time and message', async () => {
  const line = JSON.parse(await logged((log) => log.info({ part: 'sql' }, 'opened')))
  expect(line).toEqual({ level: 'info', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/), part: 'sql', msg: 'opened' })
})

test('secrets are written nowhere, by name or by look', async () => {
  const text = await logged((log) => {
    log.info({ password: 'pw-1', headers: { authorization: 'pw-2', cookie: 'pw-3' }, vendor: { github: { token: 'pw-4' } } })
    log.info({ url: ['postgres://soma', 'pw-5@db/soma'].join(':'), text: `Authorization: Bearer pw-6-and-more` }, `key ${KEY} and ${JWT}`)
    log.error({ err: Object.assign(new Error(`refused ${KEY}`), { config: { headers: { Authorization: 'pw-7' } } }) }, 'failed')
    log.child({ 'x-api-key': 'pw-8 "quoted" pw-9' }).info({ deep: [{ a: { b: { client_secret: { value: 'pw-0' } } } }] }, 'a child')
  })
  expect(text).not.toMatch(/pw-\d/)
  expect(text).not.toContain(KEY)
  expect(text).not.toContain(JWT)
  for (const line of text.trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow()
})

test('what is no secret stays as it is', () => {
  for (const text of ['https://example.com/a:b@c', 'bearer of news', 'soma_http', 'eyJ', '{"a":"b:c@d"}'])
    expect(withoutCredentials(text)).toBe(text)
})

test('a line inside a span carries its ids', async () => {
  const tracing = await createTracing({ version: 'test', recentSpans: 1 })
  const log: string[] = []
  const logger = await createLogger({ level: 'info', format: 'json' }, { write: (line) => log.push(line) })
  await tracing.inSpan('work', {}, async (span) => {
    logger.info('inside')
    expect(JSON.parse(log[0] as string)).toMatchObject({ trace_id: span.spanContext().traceId, span_id: span.spanContext().spanId })
  })
  logger.info('outside')
  expect(JSON.parse(log[1] as string)).not.toHaveProperty('trace_id')
})
