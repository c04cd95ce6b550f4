import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openPerson, openTestRealm, type Person, type TestRealm } from '@soma/kernel/auth/testing'
import { fromStack } from '@soma/ports/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { endAll, type RunningProgram, runSoma, startSoma } from './testing.ts'

describe('identity: keycloak', () => {
  let cwd: string
  let realm: TestRealm
  let server: RunningProgram
  let env: Record<string, string>
  let logins: string
  const soma = (...words: string[]) => runSoma(words, { cwd, env })
  const json = async (...words: string[]) => {
    const { code, stdout } = await soma('--json', ...words)
    return { code, answer: JSON.parse(stdout) }
  }

  beforeAll(async () => {
    realm = await openTestRealm()
    cwd = await mkdtemp(join(tmpdir(), 'soma-login-'))
    logins = join(cwd, 'config/soma/logins.json')
    env = {
      SOMA_LOG__LEVEL: 'warn',
      SOMA_AUTH_ISSUER: realm.issuer,
      SOMA_AUTH_AUDIENCE: fromStack('SOMA_AUTH_AUDIENCE'),
      SOMA_AUTH_CLIENT_ID: fromStack('SOMA_AUTH_CLIENT_ID'),
      SOMA_AUTH_MFA_ACR: fromStack('SOMA_AUTH_MFA_ACR'),
    }
    server = startSoma(['start', '--port', '0'], { cwd, env })
    await server.firstLine
  }, 240_000)
  afterAll(async () => {
    endAll()
    await server?.ended
    await rm(cwd, { recursive: true, force: true, maxRetries: 5 })
    await realm?.delete()
  })

  /** `soma login`, with the person at the browser that it would open. */
  async function login(person: Person, ...options: string[]): Promise<{ code: number | null; shown: string }> {
    const program = startSoma(['login', ...options], { cwd, env })
    const [, address] = /^Open (\S+)/.exec(await program.firstLine) ?? []
    const { leftFor } = await person.signIn(address as string)
    if (leftFor) expect(await (await fetch(leftFor)).text()).toContain('Go back to the terminal')
    const { code, stdout, stderr } = await program.ended
    return { code, shown: stdout + stderr }
  }

  test('a person signs in with a browser, is who the realm says, and does what the roles allow', async () => {
    expect((await json('whoami')).answer).toMatchObject({ id: expect.stringMatching(/^key:/), tenant: 'main' })
    const id = await realm.addUser('ada', { tenant: 'main', roles: ['soma-viewer'] })
    const ada = openPerson('ada')
    const { code, shown } = await login(ada)
    expect({ code, shown }).toMatchObject({ code: 0, shown: expect.stringContaining('Signed in at') })
    expect((await json('whoami')).answer).toMatchObject({ id: `user:${id}`, kind: 'user', tenant: 'main', mfa: true })
    expect((await json('project', 'list')).answer).toEqual([])
    expect(await json('kill', 'tool', 'git', '--reason', 'a test')).toMatchObject({ code: 4, answer: { error: { code: 'forbidden' } } })
    for (const token of Object.values(await tokensOnDisk())) expect(shown).not.toContain(token)
  })

  test('what was got is for its owner alone', async () => {
    expect((await stat(logins)).mode & 0o077).toBe(0)
    expect((await stat(join(logins, '..'))).mode & 0o077).toBe(0)
  })

  test('an API key goes before a sign-in', async () => {
    const key = (await readFile(join(cwd, '.soma/admin.key'), 'utf8')).trim()
    const { stdout } = await runSoma(['--json', 'whoami'], { cwd, env: { ...env, SOMA_API_KEY: key } })
    expect(JSON.parse(stdout)).toMatchObject({ id: expect.stringMatching(/^key:/) })
  })

  test('a token that has expired is renewed by itself, once, however many commands need it', async () => {
    const before = await tokensOnDisk()
    await expire()
    const answers = await Promise.all([json('whoami'), json('whoami'), json('whoami')])
    for (const { answer } of answers) expect(answer).toMatchObject({ id: expect.stringMatching(/^user:/) })
    const after = await tokensOnDisk()
    expect(after.accessToken).not.toBe(before.accessToken)
    expect(after.refreshToken).not.toBe(before.refreshToken)
  })

  test('logging out ends the session at the issuer; without a sign-in the key of the data folder counts again', async () => {
    const { refreshToken } = await tokensOnDisk()
    expect((await json('logout')).answer).toMatchObject({ wasSignedIn: true, isRevoked: true })
    expect((await json('whoami')).answer).toMatchObject({ id: expect.stringMatching(/^key:/) })
    const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'soma', refresh_token: refreshToken })
    const answer = await fetch(`${realm.issuer}/protocol/openid-connect/token`, { method: 'POST', body })
    expect(await answer.json()).toMatchObject({ error: 'invalid_grant' })
    expect((await json('logout')).answer).toMatchObject({ wasSignedIn: false })
  })

  test('a person signs in with a browser on another machine, by a code', async () => {
    const id = await realm.addUser('grace', { tenant: 'main', roles: ['soma-admin'] })
    expect(await login(openPerson('grace'), '--device', '--mfa')).toMatchObject({ code: 0 })
    expect((await json('whoami')).answer).toMatchObject({ id: `user:${id}`, capabilities: ['*'] })
  })

  test('a session that was ended at the issuer says to sign in again, and nothing else happens', async () => {
    const [grace] = (await (await realm.admin('GET', '/users?username=grace')).json()) as [{ id: string }]
    await realm.admin('POST', `/users/${grace.id}/logout`)
    await expire()
    expect(await json('whoami')).toMatchObject({
      code: 4,
      answer: { error: { code: 'unauthenticated', message: expect.stringContaining('soma login') } },
    })
  })

  test('the server says how people sign in, to everybody', async () => {
    const { url } = JSON.parse(await readFile(join(cwd, '.soma/server.json'), 'utf8'))
    expect(await (await fetch(`${url}/v1/auth/methods`)).json()).toEqual({
      openIdConnect: { issuer: realm.issuer, clientId: 'soma', scope: 'openid', mfaLevels: ['mfa'] },
    })
  })

  async function tokensOnDisk(): Promise<{ accessToken: string; refreshToken: string }> {
    const [login] = Object.values(JSON.parse(await readFile(logins, 'utf8'))) as [{ accessToken: string; refreshToken: string }]
    return { accessToken: login.accessToken, refreshToken: login.refreshToken }
  }

  /** As if the time of the access token had passed. */
  async function expire(): Promise<void> {
    const all = JSON.parse(await readFile(logins, 'utf8')) as Record<string, object>
    const expired = Object.entries(all).map(([server, login]) => [server, { ...login, expiresAt: 0 }])
    await writeFile(logins, JSON.stringify(Object.fromEntries(expired)))
  }
})
