import { generateKeyPairSync } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type BundleFile, readBundleKey } from './bundle.ts'
import { serveBundles } from './bundle-server.ts'
import { type BundleShelf, createBundleShelf } from './bundle-shelf.ts'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const file = (content: string): BundleFile => ({ name: `soma/${content}.rego`, content, digest: content })
const TOKEN = 'a-token-of-opa'

let shelf: BundleShelf
let server: Awaited<ReturnType<typeof serveBundles>>
let troubles: unknown[]
beforeEach(async () => {
  shelf = createBundleShelf(privateKey)
  troubles = []
  server = await serveBundles({ host: '127.0.0.1', port: 0, token: TOKEN, source: shelf, onTrouble: (error) => troubles.push(error) })
})
afterEach(() => server.close())

const get = (headers: Record<string, string> = {}, path = '/bundle.tar.gz') =>
  fetch(server.url + path, { headers: { authorization: `Bearer ${TOKEN}`, ...headers } })
const etagOf = async () => (await get()).headers.get('etag') as string

test('the bundle is served to whoever shows the token, and to nobody else', async () => {
  const answer = await get()
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/vnd.openpolicyagent.bundles'])
  expect(new Uint8Array(await answer.arrayBuffer()).slice(0, 2)).toEqual(new Uint8Array([0x1f, 0x8b]))
  for (const authorization of ['', 'Bearer', `Bearer ${TOKEN}x`, TOKEN]) expect((await get({ authorization })).status).toBe(401)
  expect((await get({}, '/other')).status).toBe(404)
})

test('who has the newest bundle is told so at once, unless it wants to wait', async () => {
  const etag = await etagOf()
  expect((await get({ 'if-none-match': etag })).status).toBe(304)
  shelf.show([file('new')])
  expect((await get({ 'if-none-match': etag })).status).toBe(200)
})

test('who waits gets the next bundle as soon as there is one', async () => {
  const waiting = get({ 'if-none-match': await etagOf(), prefer: 'modes=snapshot,delta;wait=60' })
  await expect.poll(() => shelf.changes.listenerCount('change')).toBe(1)
  shelf.show([file('new')])
  expect((await waiting).status).toBe(200)
  expect(shelf.changes.listenerCount('change')).toBe(0)
})

test('who waits in vain is told that nothing changed', async () => {
  expect((await get({ 'if-none-match': await etagOf(), prefer: 'wait=1' })).status).toBe(304)
})

test('who goes away is no longer waited for, and closing keeps nobody waiting', async () => {
  const etag = await etagOf()
  const leaving = new AbortController()
  const headers = { authorization: `Bearer ${TOKEN}`, 'if-none-match': etag, prefer: 'wait=60' }
  const left = fetch(`${server.url}/bundle.tar.gz`, { headers, signal: leaving.signal }).catch((error: Error) => error.name)
  await expect.poll(() => shelf.changes.listenerCount('change')).toBe(1)
  leaving.abort()
  expect(await left).toBe('AbortError')
  await expect.poll(() => shelf.changes.listenerCount('change')).toBe(0)
  const waiting = get({ 'if-none-match': etag, prefer: 'wait=60' })
  await expect.poll(() => shelf.changes.listenerCount('change')).toBe(1)
  await server.close()
  expect((await waiting).status).toBe(304)
  server = await serveBundles({ host: '127.0.0.1', port: 0, token: TOKEN, source: shelf, onTrouble: () => undefined })
})

test('while there is no bundle the answer is 503, and the trouble is reported', async () => {
  const failing = { changes: shelf.changes, current: () => Promise.reject(new Error('no rules')) }
  const broken = await serveBundles({
    host: '127.0.0.1',
    port: 0,
    token: TOKEN,
    source: failing,
    onTrouble: (error) => troubles.push(error),
  })
  expect((await fetch(`${broken.url}/bundle.tar.gz`, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(503)
  expect(troubles).toEqual([new Error('no rules')])
  await broken.close()
})

test('a port that is taken is named, with the setting that changes it', async () => {
  const port = Number(new URL(server.url).port)
  const second = serveBundles({ host: '127.0.0.1', port, token: TOKEN, source: shelf, onTrouble: () => undefined })
  await expect(second).rejects.toMatchObject({ code: 'port_in_use', message: expect.stringContaining('SOMA_OPA_BUNDLE_PORT') })
})

test('the same content has the same revision; another key or content another', async () => {
  const revision = async (key = privateKey, ...files: BundleFile[]) => {
    const other = createBundleShelf(key)
    other.show(files)
    return (await other.current()).revision
  }
  const [a, b] = [file('a'), file('b')]
  expect(await revision(privateKey, a, b)).toBe(await revision(privateKey, b, a))
  expect(await revision(privateKey, a)).not.toBe(await revision(privateKey, b))
  expect(await revision(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, a)).not.toBe(await revision(privateKey, a))
})

test.each([
  ['an Ed25519 key', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string],
  [
    'an ECDSA key on another curve',
    generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  ],
  ['no key', 'secret'],
])('%s is refused with how to make the right one', (_, pem) => {
  expect(() => readBundleKey(pem)).toThrow('openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256')
})
