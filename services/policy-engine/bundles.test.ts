import { generateKeyPairSync } from 'node:crypto'
import type { Principal } from '@soma/contracts/tenant'
import { signConstitution } from '@soma/kernel/gate/constitution-signature'
import { toSigningKey } from '@soma/kernel/keys/keys'
import { packBundle, policyFile, readDecisionFile } from '@soma/ports/policy/opa/bundle'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Bundles, createBundles } from './bundles.ts'
import { compileRules, type RulesInForce } from './compile-rules.ts'

const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
type Text = RulesInForce['base']
const rulesKey = toSigningKey(generateKeyPairSync('ed25519').privateKey)

function rules(id: string, tenant = id === 'platform' ? 'platform' : 'acme'): Text {
  const yaml = `apiVersion: soma.dev/v1
kind: Constitution
metadata: { name: ${id}, version: 1.0.0 }
rules: [{ id: ${id}, says: Holders may act., applies: { actions: ["*"] }, decide: allow }]`
  return { tenant, version: 1, yaml, ...signConstitution(rulesKey, { tenant, version: 1, yaml }) }
}

const signedAs = (tenant: string, { yaml }: Text): Text => ({
  tenant,
  version: 1,
  yaml,
  ...signConstitution(rulesKey, { tenant, version: 1, yaml }),
})

/** What constitution-service answers, and to whom it answered. */
let base: Text
let overlays: Map<string, Text>
let reads: string[]
let troubles: unknown[] = []

const fetchAs = (principal: Principal) => async (path: Parameters<typeof fetch>[0]) => {
  reads.push(`${principal.tenant} ${String(path)}`)
  if (path === '/v1/constitution/rules') return Response.json({ base, overlay: overlays.get(principal.tenant) ?? null })
  return Response.json({ base, overlays: [...overlays].map(([tenant, { digest }]) => ({ tenant, digest })) })
}

async function revisionOf(...inForce: (Text | null)[]): Promise<string> {
  const files = inForce.map((overlay) => policyFile(compileRules(overlay?.tenant ?? 'platform', { base, overlay }, rulesKey)))
  return (await packBundle([await readDecisionFile(), ...files], key)).revision
}

let bundles: Bundles
const revision = async () => (await bundles.current()).revision
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
  base = rules('platform')
  overlays = new Map([
    ['acme', rules('acme')],
    ['globex', rules('globex', 'globex')],
  ])
  reads = []
  const logger = { error: (trouble: unknown) => troubles.push(trouble) } as unknown as Parameters<typeof createBundles>[0]['logger']
  bundles = createBundles({ fetchAs, logger, key, rulesKey })
})
afterEach(() => vi.useRealTimers())

test('the bundle holds the platform’s rules, and each tenant’s on them', async () => {
  expect(await revision()).toBe(await revisionOf(null, rules('acme'), rules('globex', 'globex')))
})

test('after a change only what changed is read again, and who waits is told', async () => {
  await bundles.current()
  reads = []
  const told = new Promise((resolve) => bundles.changes.once('change', resolve))
  overlays.set('acme', rules('stricter'))
  bundles.lookAgain()
  await told
  await Promise.all([bundles.current(), bundles.current()])
  expect(reads).toEqual(['platform /v1/constitution/tenants', 'acme /v1/constitution/rules'])
})

test('rules that were replaced stay for a minute, for gates that have not heard of the change', async () => {
  await bundles.current()
  overlays.set('acme', rules('stricter'))
  bundles.lookAgain()
  expect(await revision()).toBe(await revisionOf(null, rules('acme'), rules('globex', 'globex'), rules('stricter')))
  vi.setSystemTime(Date.now() + 60_000)
  bundles.lookAgain()
  expect(await revision()).toBe(await revisionOf(null, rules('globex', 'globex'), rules('stricter')))
})

test.each([
  ['can not be compiled', (text: Text): Text => signedAs('initech', { ...text, yaml: 'rules: [' })],
  ['were signed for another tenant', () => rules('alien', 'umbrella')],
  ['were changed after they were signed', (text: Text): Text => ({ ...text, yaml: text.yaml.replace('Holders', 'All') })],
  ['pretend to be another version', (text: Text): Text => ({ ...text, version: 2 })],
  ['are signed by somebody else', (text: Text): Text => ({ ...text, signature: rules('other', 'initech').signature })],
])('a tenant whose rules %s is left out, and the others are served', async (_, broken) => {
  troubles = []
  overlays.set('initech', broken(rules('initech', 'initech')))
  expect(await revision()).toBe(await revisionOf(null, rules('acme'), rules('globex', 'globex')))
  expect(troubles).toEqual([expect.objectContaining({ tenant: 'initech' })])
})

test('what could not be read is read again at the next question', async () => {
  const working = base
  base = signedAs('platform', { ...working, yaml: 'rules: [' })
  await expect(bundles.current()).rejects.toMatchObject({ code: 'invalid_input' })
  base = working
  expect(await revision()).toBe(await revisionOf(null, rules('acme'), rules('globex', 'globex')))
})
