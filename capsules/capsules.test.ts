import { readFile } from 'node:fs/promises'
import { wavesOf } from '@soma/capsule/dag'
import { expandPlan } from '@soma/capsule/expand-plan'
import { runCapsuleTests } from '@soma/capsule/run-tests'
import { GovernanceVerdict } from '@soma/contracts/project'
import { capsuleWorkflow } from '@soma/services/orchestrator/workflows/capsule.workflow'
import { describe, expect, test } from 'vitest'
import { operations, readCapsules, readPlan } from './testing.ts'

const capsules = await readCapsules()
const plan = await readPlan('repository-health')

describe.each([...capsules])('%s', (reference, capsule) => {
  test('its own tests pass', async () => {
    const results = await runCapsuleTests(capsule, capsuleWorkflow.run)
    expect(results.length).toBeGreaterThan(0)
    expect(results.filter(({ passed }) => !passed)).toEqual([])
  })

  test('its tests record what the operations really give', () => {
    const faults = capsule.tests.flatMap(({ name, recorded }) =>
      capsule.steps.flatMap((step) => {
        if (!('tool' in step) || !(step.id in recorded)) return []
        const given = step.map === undefined ? [recorded[step.id]] : (recorded[step.id] as unknown[])
        return given.flatMap(
          (each) =>
            operations
              .get(step.tool)
              ?.output.safeParse(each)
              .error?.issues.map((issue) => ({ name, issue })) ?? [],
        )
      }),
    )
    expect(faults).toEqual([])
  })

  test('it may call no more than it calls, within a budget, and describes what it takes', () => {
    const called = capsule.steps.flatMap((step) => ('tool' in step ? [step.tool] : []))
    expect([...capsule.permissions.tools].sort()).toEqual([...new Set(called)].sort())
    expect(capsule.budget.calls).toBeGreaterThanOrEqual(called.length)
    const { properties } = capsule.inputs as { properties: Record<string, { description?: string }> }
    for (const [name, property] of Object.entries(properties)) expect(property.description, `${reference}, ${name}`).toBeTruthy()
  })
})

test('the governance review gives a verdict as the contract has it', async () => {
  const review = capsules.get('kamachiq_governance_review@1.0.0')
  if (!review) throw new Error('There is no such capsule.')
  for (const { output } of await runCapsuleTests(review, capsuleWorkflow.run))
    expect(GovernanceVerdict.strict().parse(output)).toEqual(output)
})

describe('the plan repository-health', () => {
  const expanded = expandPlan(plan, { repository: '/repositories/shop' })

  test('begins with what needs only the repository, goes on from it, and sums up in the third wave', () => {
    const waves = wavesOf(new Map(expanded.plan.deliverables.map(({ id, dependencies }) => [id, dependencies])))
    expect(waves.map((wave) => [...wave].sort())).toEqual([
      ['activity', 'dependencies', 'documentation', 'infrastructure', 'inventory', 'prune-branches', 'secrets'],
      ['licences', 'ownership'],
      ['summary'],
      ['publish'],
    ])
  })

  test('fills in the repository, and refuses one that is not an absolute path', () => {
    expect(expanded.inputs).toEqual({ repository: '/repositories/shop', history_seconds: 30 })
    for (const { inputs, resource } of expanded.plan.deliverables) {
      if ('repository' in inputs) expect(inputs.repository).toBe('/repositories/shop')
      if ('path' in resource) expect(resource.path).toBe('/repositories/shop')
    }
    expect(() => expandPlan(plan, { repository: 'shop' })).toThrow(/repository/)
    expect(() => expandPlan(plan, {})).toThrow(/repository/)
  })

  test('lets each deliverable call what its capsule calls', () => {
    for (const { tools, capsule } of expanded.plan.deliverables) expect(capsules.get(capsule)?.permissions.tools).toEqual(tools)
    expect(capsules.has(plan.report?.capsule ?? '')).toBe(true)
  })

  test('is described in the README of capsules as it is', async () => {
    const readme = await readFile(new URL('README.md', import.meta.url), 'utf8')
    for (const { id, capsule } of plan.deliverables) expect(readme).toMatch(new RegExp(`\\| ${id} +\\| \`${capsule.split('@')[0]}\` +\\|`))
  })
})
