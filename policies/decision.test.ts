import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { compileRego, type Lock, opaVersion, testRego } from './build.ts'

const read = (name: string) => readFile(new URL(name, import.meta.url))
const digest = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')
const lock: Lock = JSON.parse((await read('decision.lock.json')).toString())
const opa = await opaVersion()

test('decision.wasm was made from decision.rego as it stands, after its tests had passed', async () => {
  const advice = 'run `npm run build:policy` and commit what it writes'
  expect(digest(await read('decision.rego')), `decision.rego changed: ${advice}`).toBe(lock.rego)
  expect(digest(await read('decision_test.rego')), `decision_test.rego changed: ${advice}`).toBe(lock.test)
  expect(digest(await read('decision.wasm')), `decision.wasm changed: ${advice}`).toBe(lock.wasm)
})

// The proof above needs no OPA. Where there is one, it is not taken on trust.
if (opa !== undefined) test(`OPA ${opa} passes the Rego tests`, () => testRego())
if (opa === lock.opa) {
  test(`OPA ${opa} compiles decision.rego to these very bytes`, async () => {
    expect(digest(await compileRego())).toBe(lock.wasm)
  })
}
