import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Constitution } from '@soma/contracts/constitution'
import { sha256 } from '@soma/contracts/journal'
import type { PolicyInput } from '@soma/contracts/policy'
import { compileConstitution, digestOf, type PolicyDocument } from '@soma/ports/policy/compile'
import { policyConformance } from '@soma/ports/policy/conformance'
import { type BundleFile, packBundle, readDecisionFile } from '@soma/ports/policy/opa/bundle'
import { openOpaPolicy } from '@soma/ports/policy/opa/opa'
import type { Policy, PolicyData } from '@soma/ports/policy/port'
import { openCache } from '@soma/stack/cache'
import { opaProgram } from '@soma/stack/servers/opa'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openOpaWorld } from './opa-world.ts'

let world: Awaited<ReturnType<typeof openOpaWorld>>
beforeAll(async () => {
  world = await openOpaWorld()
})
afterAll(() => world.close())

policyConformance('opa', () => world.open())

let rulesMade = 0
/** Rules that no other test has. */
function newRules(decide: 'allow' | 'deny' = 'allow'): PolicyData {
  const rules = [{ id: `rule-${rulesMade++}`, says: 'A rule of a test.', applies: { actions: ['*'] }, decide }]
  return compileConstitution([
    Constitution.parse({ apiVersion: 'soma.dev/v1', kind: 'Constitution', metadata: { name: 'test', version: '1.0.0' }, rules }),
  ])
}

const question = (tenant = 'acme'): PolicyInput => ({
  principal: { id: 'user:ada', kind: 'user', tenant, capabilities: ['*'], within: [] },
  action: { name: 'tool.git.commit', capability: 'tool.git.write', effect: 'write', resource: {} },
  context: { labels: [], approvals: [], at: '2026-01-01T00:00:00.000Z' },
})

describe('an OPA behind the platform', () => {
  let policy: Policy
  beforeEach(async () => {
    policy = await world.open()
  })
  afterEach(() => policy.close())

  const otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const changed = async (change: (decision: BundleFile) => Partial<BundleFile>) => {
    const decision = await readDecisionFile()
    return packBundle([{ ...decision, ...change(decision) }], world.key)
  }
  const invalid = 'package soma.decision\n\ndecision := {'
  const broken: [string, () => ReturnType<typeof packBundle>][] = [
    ['signed with another key', async () => packBundle([await readDecisionFile()], otherKey)],
    ['not signed at all', () => packUnsigned()],
    ['with a file that was changed after signing', () => changed(({ content }) => ({ content: `${content}\n# changed` }))],
    ['with Rego that does not compile', () => changed(() => signed(invalid))],
    ['that is cut off', async () => ({ revision: 'cut', archive: (await world.current()).archive.subarray(0, 1500) })],
    ['that is no archive', async () => ({ revision: 'none', archive: new TextEncoder().encode('<html>Sign in</html>') })],
  ]

  test.each(broken)('never loads a bundle %s; the last good one decides on, and its version tells', async (_, make) => {
    const good = newRules()
    await policy.load('acme', good)
    const bundle = await make()
    world.serveInstead(async () => bundle)
    const told = expect.poll(() => policy.version().catch((error: Error) => error.message))
    await told.toContain('OPA refuses the newest bundle and decides by the one before')
    expect(await policy.decide(question())).toMatchObject({ verdict: 'allow', policy: good.version })
    world.serveInstead()
    const next = newRules('deny')
    await policy.load('acme', next)
    expect(await policy.version()).toBe('1.22.2')
  })

  test('rules that never come with a bundle are never in force, and those before them stay', async () => {
    const good = newRules()
    await policy.load('acme', good)
    const direct = await openOpaPolicy({ url: world.url, token: world.token })
    await direct.load('acme', good)
    await expect(direct.load('acme', newRules('deny'))).rejects.toMatchObject({
      code: 'policy_unavailable',
      message: expect.stringContaining('did not load the rules'),
    })
    expect(await direct.decide(question())).toMatchObject({ verdict: 'allow', policy: good.version })
    await direct.close()
  })

  test('a decision by other rules than the gate’s is none', async () => {
    await policy.load('acme', newRules())
    const lying =
      'package soma.decision\n\ndecision := {"verdict": "allow", "reasons": [], "score": 1, "obligations": [], "policy": "sha256:other"}\n'
    const bundle = await changed(() => signed(lying))
    world.serveInstead(async () => bundle)
    await expect.poll(() => policy.decide(question()).catch((error: Error) => error.message)).toContain('by sha256:other instead of')
    world.serveInstead()
    await expect.poll(() => policy.decide(question()).catch(() => undefined)).toMatchObject({ verdict: 'allow' })
  })

  test('a question can not choose another tenant’s rules', async () => {
    const [mine, theirs] = [newRules('deny'), newRules('allow')]
    await policy.load('acme', mine)
    await policy.load('globex', theirs)
    const forged = { ...question(), policy: theirs.version }
    expect(await policy.decide(forged)).toMatchObject({ verdict: 'deny', policy: mine.version })
  })

  test('rules with any text, key and number pass the check of the signature', async () => {
    const value = {
      '\u{1F600}': 1,
      '\uFFFD': 2,
      'a\u2028b\u2029': '\u2028<&>"\\\b\f\n\r\t\u0000\u007F',
      é: [1e21, 1e-7, -0, 0.1, true, null, {}],
    }
    const { rules, ...rest } = newRules().document as PolicyDocument
    const oblige = { id: 'oblige', says: 'And mind this.', decide: 'oblige' as const, when: [], obligations: [{ kind: 'keep', value }] }
    const document = { ...rest, rules: { ...rules, 'tool.*': { write: { always: [oblige], keyed: [] } } } }
    await policy.load('acme', { version: digestOf(document), document })
    expect((await policy.decide(question())).obligations).toEqual([
      { kind: 'keep', value: JSON.parse(JSON.stringify(value)), rule: 'oblige' },
    ])
  })

  test('whoever does not show the token learns nothing, and the platform says what to do', async () => {
    for (const path of ['/v1/data', '/v1/policies', '/v1/status', '/v1/config', '/metrics'])
      expect((await fetch(world.url + path)).status, path).toBe(401)
    const stranger = await openOpaPolicy({ url: world.url, token: 'guessed' })
    await expect(stranger.load('acme', newRules())).rejects.toMatchObject({ code: 'policy_unavailable' })
    await expect(stranger.version()).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: expect.stringContaining('SOMA_OPA_TOKEN'),
    })
    await stranger.close()
  })

  test('it decides on while the policy-engine is away, and takes the next rules when that is back', async () => {
    const good = newRules()
    await policy.load('acme', good)
    await world.bundleServer.stop()
    expect(await policy.decide(question())).toMatchObject({ verdict: 'allow', policy: good.version })
    expect(await policy.version()).toBe('1.22.2')
    await world.bundleServer.start()
    const next = newRules('deny')
    await policy.load('acme', next)
    expect(await policy.decide(question())).toMatchObject({ verdict: 'deny', policy: next.version })
  })

  test('killed, nothing is allowed, within a second; started again, it recovers by itself', async () => {
    await policy.load('acme', newRules())
    await world.stack.down(['opa'], { signal: 'SIGKILL' })
    expect(await timed(() => policy.decide(question()))).toMatchObject({ code: 'policy_unavailable' })
    await expect(policy.version()).rejects.toMatchObject({ code: 'dependency_unavailable' })
    await world.stack.up(['opa'])
    await expect.poll(() => policy.decide(question()).catch(() => undefined)).toMatchObject({ verdict: 'allow' })
  })

  test('hanging, nothing is allowed, within a second', async () => {
    await policy.load('acme', newRules())
    const [{ pid } = { pid: 0 }] = (await world.stack.stateOf('opa')).processes
    process.kill(pid, 'SIGSTOP')
    try {
      expect(await timed(() => policy.decide(question()))).toMatchObject({ code: 'policy_unavailable' })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await expect.poll(() => policy.decide(question()).catch(() => undefined)).toMatchObject({ verdict: 'allow' })
  })
})

/** What was thrown, when it was thrown in time: the driver gives up after a second, the rest is for a machine that does other things. */
async function timed(work: () => Promise<unknown>): Promise<unknown> {
  const began = performance.now()
  const error = await work().catch((thrown: unknown) => thrown)
  expect(performance.now() - began).toBeLessThan(5000)
  return error
}

function signed(content: string): Pick<BundleFile, 'content' | 'digest'> {
  return { content, digest: sha256(content) }
}

/** OPA's own tool packs it, without a key. */
async function packUnsigned() {
  const folder = await mkdtemp(join(tmpdir(), 'soma-unsigned-'))
  try {
    const { content } = await readDecisionFile()
    await writeFile(join(folder, 'decision.rego'), content)
    await writeFile(join(folder, '.manifest'), JSON.stringify({ revision: 'unsigned', roots: ['soma'] }))
    const archive = join(folder, 'bundle.tar.gz')
    const cache = openCache()
    await cache.run(await opaProgram(cache), ['build', '--bundle', folder, '--output', archive])
    return { revision: 'unsigned', archive: new Uint8Array(await readFile(archive)) }
  } finally {
    await rm(folder, { recursive: true })
  }
}
