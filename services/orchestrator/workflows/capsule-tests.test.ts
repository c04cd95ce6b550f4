import { parseCapsule } from '@soma/capsule/parse-capsule'
import { problemsError } from '@soma/capsule/problem'
import { runCapsuleTests } from '@soma/capsule/run-tests'
import { expect, test } from 'vitest'
import { capsuleWorkflow } from './capsule.workflow.ts'

const text = `apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: health, version: 1.0.0, summary: Test }
inputs: { type: object, properties: { paths: { type: array } }, required: [paths] }
permissions: { tools: [files.read], capsules: ['sum@*'] }
outputs: { value: { total: "\${{ steps.sum.total }}", sizes: "\${{ steps.read.map(r, r.size) }}", by: "\${{ steps.ask.by }}" } }
steps:
  - { id: read, tool: files.read, map: "\${{ inputs.paths }}", with: { path: "\${{ item }}" } }
  - { id: ask, approval: { message: "Sum \${{ size(steps.read) }}?" } }
  - { id: sum, needs: [ask], capsule: sum@1.0.0, with: { of: "\${{ steps.read }}" } }
tests:
`
async function run(tests: string) {
  const { capsule, problems } = parseCapsule(text + tests)
  if (!capsule) throw problemsError('capsule_invalid', problems)
  return runCapsuleTests(capsule, capsuleWorkflow.run)
}
const RECORD = 'inputs: { paths: [a, b] }, recorded: { read: [{ size: 1, more: true }, { size: 2 }], sum: { total: 3 } }'

test('a capsule runs against its records and its output is compared, of mappings only what is expected', async () => {
  const results = await run(`  - { name: adds, ${RECORD}, expect: { total: 3, sizes: [1, 2] } }\n`)
  expect(results).toEqual([{ name: 'adds', passed: true, problems: [], output: { total: 3, sizes: [1, 2], by: 'user:test' } }])
})

test('an output that departs says where', async () => {
  const [result] = await run(`  - { name: wrong, ${RECORD}, expect: { total: 4, sizes: [1, "2"], missing: { a: 1 } } }\n`)
  expect(result).toMatchObject({
    passed: false,
    problems: ['"total" must be 4, but is 3.', '"sizes[1]" must be "2", but is 2.', '"missing" must be a mapping, but is missing.'],
  })
})

test.each([
  ['no record', '{ paths: [a] }', '{ sum: { total: 3 } }', 'Test "t" has no record of what "read[0]" calls; add it under recorded.'],
  ['too few items', '{ paths: [a, b] }', '{ read: [{ size: 1 }], sum: { total: 3 } }', 'no record of what "read[1]" calls'],
  ['a rejected approval', '{ paths: [] }', '{ ask: { approved: false, by: bob }, sum: { total: 3 } }', 'Step "ask": bob rejected'],
])('a test with %s fails with a sentence', async (_, inputs, recorded, sentence) => {
  const [result] = await run(`  - { name: t, inputs: ${inputs}, recorded: ${recorded}, expect: {} }\n`)
  expect(result).toMatchObject({ passed: false, problems: [expect.stringContaining(sentence)] })
})
