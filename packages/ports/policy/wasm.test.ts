import { Constitution } from '@soma/contracts/constitution'
import { expect, test } from 'vitest'
import { compileConstitution } from './compile.ts'
import { policyConformance } from './conformance.ts'
import type { Policy } from './port.ts'
import { openWasmPolicy } from './wasm.ts'

policyConformance('wasm', openWasmPolicy)

test('an evaluator that does not start is refused at once', async () => {
  await expect(openWasmPolicy({ wasm: new TextEncoder().encode('not wasm') })).rejects.toMatchObject({ code: 'policy_unavailable' })
})

test('rules about other actions hardly cost anything', async () => {
  const [few, many] = [await openWith(10), await openWith(2000)]
  const times: { few: number; many: number }[] = []
  // In turns, so that what else the machine does meets both.
  for (let round = 0; round < 1000; round++)
    times.push({ few: await timeOneDecision(few, round), many: await timeOneDecision(many, round) })
  const [fewMedian, manyMedian] = [median(times.map((time) => time.few)), median(times.map((time) => time.many))]
  await Promise.all([few.close(), many.close()])
  expect(manyMedian, `10 rules: ${fewMedian} ms, 2000 rules: ${manyMedian} ms`).toBeLessThan(fewMedian * 3)
})

async function openWith(rules: number): Promise<Policy> {
  const policy = await openWasmPolicy()
  await policy.load('acme', compileConstitution([constitutionWith(rules)]))
  return policy
}

const median = (times: number[]) => times.toSorted((one, other) => one - other)[times.length / 2] ?? Number.NaN

async function timeOneDecision(policy: Policy, round: number): Promise<number> {
  const start = performance.now()
  const { verdict } = await policy.decide({
    principal: { id: 'user:ada', kind: 'user', tenant: 'acme', capabilities: ['*'], within: [] },
    action: { name: 'tool.adapter3.write', capability: 'tool.adapter3.write', effect: 'write', resource: { path: `file-${round}` } },
    context: { labels: [], approvals: [], at: '2026-01-01T00:00:00.000Z' },
  })
  const milliseconds = performance.now() - start
  expect(verdict).toBe('allow')
  return milliseconds
}

function constitutionWith(rules: number): Constitution {
  return Constitution.parse({
    apiVersion: 'soma.dev/v1',
    kind: 'Constitution',
    metadata: { name: 'many', version: '1.0.0' },
    rules: Array.from({ length: rules }, (_, index) => ({
      id: `rule-${index}`,
      says: `Adapter ${index} may write files.`,
      applies: { actions: [`tool.adapter${index}.*`] },
      when: [{ fact: 'action.resource.path', is: 'matches_prefix', value: 'file-' }],
      decide: 'allow',
    })),
  })
}
