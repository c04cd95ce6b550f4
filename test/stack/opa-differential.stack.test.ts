import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PolicyInput } from '@soma/contracts/policy'
import { compileConstitution, type PolicyDocument } from '@soma/ports/policy/compile'
import type { PolicyData } from '@soma/ports/policy/port'
import { writeQuestion } from '@soma/ports/policy/question'
import { randomConstitution, randomQuestion } from '@soma/ports/policy/testing'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import { openCache } from '@soma/stack/cache'
import { opaProgram } from '@soma/stack/servers/opa'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openOpaWorld } from './opa-world.ts'

/** `POLICY_QUESTIONS=10000` asks more; `POLICY_SEED` asks the same again. */
const QUESTIONS = Number(process.env.POLICY_QUESTIONS ?? 500)
const SEED = Number(process.env.POLICY_SEED ?? Date.now() % 2 ** 31)
const A_CONSTITUTION = 10
const DECISION = fileURLToPath(new URL('../../policies/decision.rego', import.meta.url))

let world: Awaited<ReturnType<typeof openOpaWorld>>
beforeAll(async () => {
  world = await openOpaWorld()
})
afterAll(() => world.close())

test(`WebAssembly, the OPA server and \`opa eval\` decide ${QUESTIONS} random questions alike`, { timeout: 600_000 }, async () => {
  const rules = fc
    .sample(randomConstitution, { seed: SEED, numRuns: QUESTIONS / A_CONSTITUTION })
    .map((each) => compileConstitution([each]))
  const questions = fc.sample(randomQuestion, { seed: SEED, numRuns: QUESTIONS })
  const asked = questions.map((input, index) => ({ input, data: rules[Math.floor(index / A_CONSTITUTION)] as PolicyData }))
  const evaluated = await evaluate(rules, asked)

  world.show(...rules)
  const [server, wasm] = [await world.open(), await openWasmPolicy()]
  const verdicts = new Set<string>()
  for (const [index, { input, data }] of asked.entries()) {
    for (const policy of [server, wasm])
      if (policy.loadedVersion('acme') !== data.version) await whenAnswered(() => policy.load('acme', data))
    const [byServer, byWasm] = [await whenAnswered(() => server.decide(input)), await wasm.decide(input)]
    expect({ server: byServer, wasm: byWasm }, `question ${index}, POLICY_SEED=${SEED}`).toEqual({
      server: evaluated[index],
      wasm: evaluated[index],
    })
    verdicts.add(byWasm.verdict)
  }
  expect([...verdicts].sort()).toEqual(['allow', 'deny', 'needs_approval'])
  await Promise.all([server.close(), wasm.close()])
})

/** On a busy machine OPA may take longer than the driver waits. No answer is no decision, so it is none to compare. */
function whenAnswered<Result>(ask: () => Promise<Result>): Promise<Result> {
  return vi.waitFor(ask, { timeout: 30_000 })
}

/** What OPA's own evaluator says to the questions, by their place, in one run of it. */
async function evaluate(
  rules: readonly PolicyData[],
  asked: readonly { input: PolicyInput; data: PolicyData }[],
): Promise<Record<string, unknown>> {
  const policies = Object.fromEntries(rules.map(({ version, document }) => [version, { version, rules: document.rules }]))
  const questions = asked.map(({ input, data }) =>
    JSON.parse(writeQuestion(input, { ...(data.document as PolicyDocument), version: data.version })),
  )
  const query =
    '{i: d | some i, q in input.questions; p := input.policies; d := data.soma.decision.decision with input as q with data.soma.policies as p}'
  const folder = await mkdtemp(join(tmpdir(), 'soma-questions-'))
  try {
    const file = join(folder, 'input.json')
    await writeFile(file, JSON.stringify({ questions, policies }))
    const cache = openCache()
    return JSON.parse(await cache.run(await opaProgram(cache), ['eval', '--input', file, '--format', 'raw', '--data', DECISION, query]))
  } finally {
    await rm(folder, { recursive: true })
  }
}
