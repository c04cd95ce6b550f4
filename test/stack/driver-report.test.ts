import { expect, test } from 'vitest'
import type { TestResult } from 'vitest/node'
import DriverReport from './driver-report.ts'

const RESULTS = {
  passed: { state: 'passed', errors: undefined },
  failed: { state: 'failed', errors: [] },
  skipped: { state: 'skipped', errors: undefined, note: undefined },
} satisfies Record<string, TestResult>

async function report(results: readonly [suite: string, state: keyof typeof RESULTS][]): Promise<string[]> {
  const reporter = new DriverReport()
  for (const [suite, state] of results) reporter.onTestCaseResult({ fullName: `${suite} > a promise`, result: () => RESULTS[state] })
  const [, ...lines] = await reporter.lines(async (server) => `${server} 1.0`)
  return lines.map((line) => line.replace(/ {2,}/g, ' | '))
}

test('a promise that a narrowed run did not ask for is no broken one, and a driver of which nothing was asked has no line', async () => {
  expect(
    await report([
      ['locks: redis', 'passed'],
      ['locks: redis', 'skipped'],
      ['cache: redis', 'skipped'],
    ]),
  ).toEqual(['locks | redis | redis 1.0 | 1 kept, 1 not asked'])
})

test('a broken promise is told, beside the server that broke it', async () => {
  expect(
    await report([
      ['objects: s3', 'passed'],
      ['objects: s3', 'failed'],
      ['something else', 'failed'],
    ]),
  ).toEqual(['objects | s3 | minio 1.0 | 1 kept, 1 not kept'])
})
