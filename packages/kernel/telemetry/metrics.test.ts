import { expect, test } from 'vitest'
import { createMetrics } from './metrics.ts'

test('asking twice for a metric gives the same one', async () => {
  const metrics = createMetrics({ processMetrics: false })
  const described = { name: 'kamachiq_runs_total', help: 'Projects run.', labels: ['tenant'] }
  metrics.counter(described).inc({ tenant: 'acme' })
  metrics.counter(described).inc({ tenant: 'acme' })
  metrics.histogram({ name: 'run_seconds', help: 'Runs.', buckets: [1, 10] }).observe(3)
  metrics.gauge({ name: 'runs_open', help: 'Open runs.' }).set(2)
  const { text, contentType } = await metrics.exposition()
  expect(contentType).toMatch(/^text\/plain/)
  expect(text).toContain('kamachiq_runs_total{tenant="acme"} 2')
  expect(text).toContain('run_seconds_bucket{le="10"} 1')
  expect(text).toContain('runs_open 2')
})

test('figures of the process itself are there', async () => {
  expect((await createMetrics().exposition()).text).toMatch(/process_resident_memory_bytes \d/)
})
