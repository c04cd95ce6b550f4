import { describe, expect, it } from 'vitest'
import { commitFiles, contextFor, emptyRepository } from '../frame/testing.ts'
import { scanAdapter } from './adapter.ts'
import { rank } from './rank.ts'

const score = (input: object) => rank.run(rank.input.parse(input), contextFor('/'))

/** The reports of all scans on one repository. */
async function reportsOf(files: Record<string, string>) {
  const repository = await emptyRepository()
  await commitFiles(repository, files)
  const reports: Record<string, unknown> = {}
  for (const { name, input, run } of scanAdapter.operations.filter((operation) => operation.name !== 'scan.rank')) {
    reports[name.replace('scan.', '')] = await run(input.parse({ repository }), contextFor('/'))
  }
  return reports
}

describe('scan.rank', () => {
  it('ranks what matters most first, with evidence, and shows how each score comes about', async () => {
    const token = `gh${'p_'}${'aB3dE6gH9kLmN0pQ2sTuV5xYz1cD4fG7hJ8k'}`
    const files = { 'src/a.ts': `export const token = '${token}'\n${'export const x = 1\n'.repeat(300)}`, Dockerfile: 'FROM node\n' }
    const report = await score({
      ...(await reportsOf(files)),
      ownership: { whole: { busFactor: 1, holderCount: 1, holders: [] }, asOf: '2024-02-01T00:00:00Z' },
      activity: { lastAt: '2024-01-01T12:00:00Z' },
    })
    expect(rank.output.parse(report)).toEqual(report)
    expect(report.fixes[0]).toMatchObject({
      rank: 1,
      area: 'secrets',
      severity: 'critical',
      effort: 'small',
      evidence: [{ path: 'src/a.ts', line: 1 }],
    })
    expect(report.fixes.map(({ title }) => title)).toEqual(
      expect.arrayContaining(['Write a README', 'Write the first tests', 'Name versions of base images']),
    )
    for (const { score: value, arithmetic } of report.areas) {
      const sum = arithmetic.reduce((total, { points }) => total + points, 0)
      expect(value).toBe(Math.max(0, Math.min(100, Math.round(sum))))
    }
    expect(report.areas.find(({ area }) => area === 'secrets')).toMatchObject({ score: 50, grade: 'F' })
    expect(report.areas.find(({ area }) => area === 'activity')).toMatchObject({ score: 100 })
    expect(report.notAssessed.map(({ area }) => area)).toEqual(['dependencies'])
    expect(JSON.stringify(report)).not.toContain(token)
  })

  it('gives the same for the same, in whatever order findings come', async () => {
    const { documentation, infrastructure } = (await reportsOf({ 'README.md': '[a](b)\n[c](d)\n', Dockerfile: 'FROM node\n' })) as Record<
      string,
      { findings: unknown[] }
    >
    const once = await score({ documentation, infrastructure })
    const turned = { documentation: { ...documentation, findings: documentation?.findings.toReversed() }, infrastructure }
    expect(await score(turned)).toEqual(once)
  })

  it('assesses nothing when nothing is given', async () => {
    expect(await score({})).toMatchObject({ score: 0, arithmetic: 'Nothing was assessed.', areas: [], fixes: [] })
  })

  it('every operation reads only', () => {
    for (const { name, effect, idempotency, capability } of scanAdapter.operations) {
      expect({ name, effect, idempotency, capability }).toEqual({
        name,
        effect: 'read',
        idempotency: { kind: 'read' },
        capability: 'tool.scan.read',
      })
    }
  })
})
