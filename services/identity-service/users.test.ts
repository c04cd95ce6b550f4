import { issueApiKey } from '@soma/kernel/auth/api-keys'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openIdentityServer, PASSWORD, type Tokens } from './testing.ts'

let identity: Awaited<ReturnType<typeof openIdentityServer>>
let acme: { tenant: string; owner: string }
beforeAll(async () => {
  identity = await openIdentityServer()
})
beforeEach(async () => {
  acme = await identity.newTenant()
})
afterAll(() => identity.close())

const isIn = async (token: string) => (await identity.me(token)).status === 200
const change = (id: string, body: object, by = acme.owner) => identity.call('PATCH', `/v1/users/${id}`, { by, body })
const keyOf = async (by: string, capabilities: string[]) =>
  (await identity.call<{ key: string; record: { id: string } }>('POST', '/v1/api-keys', { by, body: { name: 'own', capabilities } })).body
const refresh = async ({ refreshToken, tenant }: Tokens) =>
  (await identity.call<Tokens>('POST', '/v1/auth/refresh', { body: { tenant, refreshToken } })).body.accessToken

describe('roles', () => {
  test('hold from the next request on: a token from before is refused, the next one and API keys say what is', async () => {
    const person = await identity.newPerson(acme, 'ada', ['developer'])
    const { key } = await keyOf(person.accessToken, ['project.*'])
    const create = async (by: string) => (await identity.call('GET', '/v1/api-keys', { by })).status
    expect(await create(person.accessToken)).toBe(200)
    await change(person.userId, { roles: ['viewer'] })
    expect(await isIn(person.accessToken)).toBe(false)
    const renewed = await refresh(person)
    expect([await isIn(renewed), await create(renewed)]).toEqual([true, 403])
    // The key was given more than its maker may now.
    expect((await identity.me(key)).status).toBe(403)
    expect((await identity.call('GET', `/v1/users/${person.userId}/capabilities`, { by: acme.owner })).body).toMatchObject({
      roles: ['viewer'],
    })
  })

  test('of the tenant’s own are made, changed and deleted; who has one feels it at once', async () => {
    const set = (capabilities: string[]) =>
      identity.call('PUT', '/v1/roles/reporter', { by: acme.owner, body: { summary: 'Reports', capabilities } })
    expect((await set(['me.*', 'session.admin'])).status).toBe(200)
    const person = await identity.newPerson(acme, 'ada', ['reporter'])
    const of = (by: string) => identity.me(by).then(({ body }) => body.capabilities)
    expect(await of(person.accessToken)).toEqual(['me.*', 'session.admin'])
    await set(['me.*'])
    expect(await isIn(person.accessToken)).toBe(false)
    expect(await of(await refresh(person))).toEqual(['me.*'])
    await identity.call('DELETE', '/v1/roles/reporter', { by: acme.owner })
    const { body } = await identity.call<{ capabilities: string[] }>('GET', `/v1/users/${person.userId}/capabilities`, { by: acme.owner })
    expect(body.capabilities).toEqual([])
    expect(await identity.call('DELETE', '/v1/roles/reporter', { by: acme.owner })).toMatchObject({ status: 404 })
  })

  test('that come with the platform can be changed in one tenant, and be had back', async () => {
    const list = async (by: string) =>
      (await identity.call<{ items: { name: string; isOwn: boolean }[] }>('GET', '/v1/roles', { by })).body.items
    await identity.call('PUT', '/v1/roles/viewer', { by: acme.owner, body: { summary: 'Sees little', capabilities: ['me.*'] } })
    expect((await list(acme.owner)).filter(({ name }) => name === 'viewer')).toMatchObject([{ isOwn: true, summary: 'Sees little' }])
    const { owner } = await identity.newTenant()
    expect((await list(owner)).filter(({ name }) => name === 'viewer')).toMatchObject([{ isOwn: false }])
    await identity.call('DELETE', '/v1/roles/viewer', { by: acme.owner })
    expect((await list(acme.owner)).filter(({ name }) => name === 'viewer')).toMatchObject([{ isOwn: false }])
  })

  test('that there are not can not be given', async () => {
    expect(await change((await identity.newPerson(acme, 'ada')).userId, { roles: ['emperor'] })).toMatchObject({
      status: 400,
      body: { details: { role: 'emperor' } },
    })
  })
})

describe('nobody rises by giving', () => {
  test('roles or invitations beyond one’s own', async () => {
    const admin = await identity.newPerson(acme, 'admin', ['administrator'])
    const person = await identity.newPerson(acme, 'ada')
    const attempts = [
      await change(person.userId, { roles: ['owner'] }, admin.accessToken),
      await identity.call('POST', '/v1/invitations', { by: admin.accessToken, body: { email: 'x@example.org', roles: ['owner'] } }),
      await identity.call('PUT', '/v1/roles/viewer', { by: admin.accessToken, body: { summary: 's', capabilities: ['platform.keys'] } }),
      await identity.call('PUT', '/v1/roles/owner', { by: admin.accessToken, body: { summary: 's', capabilities: ['me.*'] } }),
      await identity.call('POST', '/v1/service-accounts', { by: admin.accessToken, body: { id: 'robot', summary: 's', roles: ['owner'] } }),
      await identity.call('POST', '/v1/api-keys', { by: admin.accessToken, body: { name: 'k', capabilities: ['*'] } }),
    ]
    for (const attempt of attempts) expect(attempt).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect((await change(person.userId, { roles: ['administrator'] }, admin.accessToken)).status).toBe(200)
  })

  test('taking over the account of somebody who may more', async () => {
    const admin = await identity.newPerson(acme, 'admin', ['administrator'])
    const above = await identity.newPerson(acme, 'above', ['owner'])
    const by = admin.accessToken
    const attempts = [
      await identity.call('POST', `/v1/users/${above.userId}/password-link`, { by }),
      await identity.call('DELETE', `/v1/users/${above.userId}/mfa`, { by }),
      await change(above.userId, { roles: ['viewer'] }, by),
      await change(above.userId, { isActive: false }, by),
      await identity.call('DELETE', `/v1/users/${above.userId}`, { by }),
    ]
    for (const attempt of attempts) expect(attempt).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect(await isIn(above.accessToken)).toBe(true)
  })

  test('renewing the link of an invitation to more than one may give', async () => {
    const admin = await identity.newPerson(acme, 'admin', ['administrator'])
    const invited = await identity.call<{ invitation: { id: string } }>('POST', '/v1/invitations', {
      by: acme.owner,
      body: { email: 'x@example.org', roles: ['owner'] },
    })
    const renewed = await identity.call('POST', `/v1/invitations/${invited.body.invitation.id}/link`, { by: admin.accessToken })
    expect(renewed).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  })

  test('an agent, whatever it holds', async () => {
    const { tokens } = identity
    const agent = { id: 'agent:dev', kind: 'agent' as const, tenant: acme.tenant, capabilities: ['*'], within: [] }
    const by = await tokens.issue(agent, { audience: 'soma', ttlSeconds: 60 })
    const person = await identity.newPerson(acme, 'ada')
    const attempts = [
      await identity.call('POST', '/v1/api-keys', { by, body: { name: 'k', capabilities: ['me.read'] } }),
      await identity.call('POST', '/v1/invitations', { by, body: { email: 'x@example.org', roles: ['viewer'] } }),
      await identity.call('POST', '/v1/service-accounts', { by, body: { id: 'robot', summary: 's', roles: [] } }),
      await identity.call('PUT', '/v1/roles/own', { by, body: { summary: 's', capabilities: [] } }),
      await identity.call('POST', `/v1/users/${person.userId}/password-link`, { by }),
      await change(person.userId, { name: 'x' }, by),
      await identity.call('GET', '/v1/sessions', { by }),
    ]
    for (const attempt of attempts) expect(attempt).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  })
})

describe('a user who is disabled', () => {
  test('is out at once by every way, and in again when enabled, with what is got from then on', async () => {
    const person = await identity.newPerson(acme, 'ada', ['developer'])
    const { key } = await keyOf(person.accessToken, ['me.read'])
    const exchanged = (await identity.call<{ token: string }>('POST', '/v1/tokens', { by: person.accessToken, body: {} })).body.token
    const ways = () => Promise.all([person.accessToken, exchanged, key].map(isIn))
    expect(await ways()).toEqual([true, true, true])
    expect((await change(person.userId, { isActive: false })).body).toMatchObject({ isActive: false })
    expect(await ways()).toEqual([false, false, false])
    const again = { tenant: person.tenant, refreshToken: person.refreshToken }
    expect(await identity.call('POST', '/v1/auth/refresh', { body: again })).toMatchObject({ status: 401 })
    expect((await identity.signIn(acme.tenant, person.email)).status).toBe(401)

    await change(person.userId, { isActive: true })
    expect(await ways()).toEqual([false, false, true])
    expect(await isIn((await identity.signIn(acme.tenant, person.email)).body.accessToken)).toBe(true)
  })

  test('and one who is deleted is out for good, with every key', async () => {
    const person = await identity.newPerson(acme, 'ada', ['developer'])
    const { key } = await keyOf(person.accessToken, ['me.read'])
    expect((await identity.call('DELETE', `/v1/users/${person.userId}`, { by: acme.owner })).status).toBe(200)
    expect([await isIn(person.accessToken), await isIn(key)]).toEqual([false, false])
    expect((await identity.signIn(acme.tenant, person.email)).status).toBe(401)
    expect((await identity.call('GET', `/v1/users/${person.userId}`, { by: acme.owner })).status).toBe(404)
    const { rows } = await identity.sql.platform.query('select 1 from identity.credentials where user_id = $1', [person.userId])
    expect(rows).toEqual([])
  })

  test('nobody disables or deletes the own account', async () => {
    const admin = await identity.newPerson(acme, 'admin', ['owner'])
    expect(await change(admin.userId, { isActive: false }, admin.accessToken)).toMatchObject({ status: 409 })
    expect(await identity.call('DELETE', `/v1/users/${admin.userId}`, { by: admin.accessToken })).toMatchObject({ status: 409 })
  })
})

describe('an invitation', () => {
  const invite = (body: object = {}) =>
    identity.call<{ token: string; invitation: { id: string; expiresAt: string } }>('POST', '/v1/invitations', {
      by: acme.owner,
      body: { email: 'new@example.org', roles: ['viewer'], ...body },
    })
  const accept = (token: string) =>
    identity.call('POST', '/v1/invitations/accept', { body: { token, password: PASSWORD }, address: '10.9.9.9' })

  test('ends when it is too old or revoked, and works with the newest link only', async () => {
    const old = (await invite()).body
    await identity.sql.platform.query("update identity.invitations set expires_at = now() - interval '1 second' where id = $1", [
      old.invitation.id,
    ])
    expect(await accept(old.token)).toMatchObject({ status: 401 })

    const revoked = (await invite()).body
    expect((await identity.call('DELETE', `/v1/invitations/${revoked.invitation.id}`, { by: acme.owner })).status).toBe(200)
    expect(await accept(revoked.token)).toMatchObject({ status: 401 })
    expect(await identity.call('POST', `/v1/invitations/${revoked.invitation.id}/link`, { by: acme.owner })).toMatchObject({ status: 404 })

    const first = (await invite()).body
    const second = await identity.call<{ token: string }>('POST', `/v1/invitations/${first.invitation.id}/link`, { by: acme.owner })
    expect(await accept(first.token)).toMatchObject({ status: 401 })
    expect(await accept(second.body.token)).toMatchObject({ status: 201 })
  })

  test.each(['x', 'a.b.c', '', 'tenant-1.', '..'])('%j is none', async (token) => {
    expect([400, 401]).toContain((await accept(token)).status)
  })

  test('is good once, however many use it at once', async () => {
    const { token } = (await invite()).body
    const statuses = (await Promise.all(Array.from({ length: 8 }, () => accept(token)))).map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(1)
    expect(await invite()).toMatchObject({ status: 409, body: { code: 'conflict' } })
  })

  test('is told to whoever delivers it, without what makes it work', async () => {
    const heard: unknown[] = []
    const consumer = await identity.events.consume({
      topic: 'identity.invitations',
      group: `test-${acme.tenant}`,
      handler: async (event) => {
        if (event.partitionkey === acme.tenant) heard.push(event)
      },
    })
    const { token, invitation } = (await invite()).body
    await expect.poll(() => heard).toMatchObject([{ type: 'soma.invitation.created', data: { email: 'new@example.org', purpose: 'join' } }])
    await consumer.stop()
    expect(JSON.stringify(heard)).not.toContain(token.split('.')[2])
    expect(heard).toMatchObject([{ subject: invitation.id }])
    const { rows } = await identity.sql.platform.query('select i::text as line from identity.invitations i')
    for (const { line } of rows) expect(line).not.toContain(token.split('.')[2])
  })

  test('is listed with who used it, page by page', async () => {
    for (const name of ['a', 'b', 'c']) await invite({ email: `${name}@example.org` })
    const seen: string[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const page: { items: { email: string }[]; nextCursor: string | null } = (
        await identity.call<{ items: { email: string }[]; nextCursor: string | null }>(
          'GET',
          `/v1/invitations?limit=2${cursor ? `&cursor=${cursor}` : ''}`,
          { by: acme.owner },
        )
      ).body
      seen.push(...page.items.map(({ email }) => email))
      cursor = page.nextCursor
    }
    expect(seen.sort()).toEqual(['a@example.org', 'b@example.org', 'c@example.org'])
  })
})

describe('a service account', () => {
  const account = (body: object = {}) =>
    identity.call('POST', '/v1/service-accounts', {
      by: acme.owner,
      body: { id: 'robot', summary: 'Builds', roles: ['developer'], ...body },
    })
  const newKey = async (capabilities = ['*']) =>
    (
      await identity.call<{ key: string }>('POST', '/v1/service-accounts/robot/keys', {
        by: acme.owner,
        body: { name: 'ci', capabilities },
      })
    ).body.key

  test('speaks with its keys, as itself, with its roles at the moment and no more than the key names', async () => {
    expect((await account()).status).toBe(201)
    expect(await account()).toMatchObject({ status: 409 })
    const [whole, narrow] = [await newKey(), await newKey(['me.read'])]
    expect((await identity.me(whole)).body).toMatchObject({ id: 'account:robot', kind: 'service', tenant: acme.tenant })
    const listKeys = async (by: string) => (await identity.call('GET', '/v1/api-keys', { by })).status
    expect([await listKeys(whole), await listKeys(narrow)]).toEqual([200, 403])
    await identity.call('PATCH', '/v1/service-accounts/robot', { by: acme.owner, body: { roles: ['viewer'] } })
    expect(await listKeys(whole)).toBe(403)
  })

  test('that is disabled is out with every key and token, and a deleted one does not come back under its name', async () => {
    await account()
    const key = await newKey()
    const { body } = await identity.call<{ token: string }>('POST', '/v1/tokens', { by: key, body: { ttlSeconds: 86_400 } })
    await identity.call('PATCH', '/v1/service-accounts/robot', { by: acme.owner, body: { isActive: false } })
    expect([await isIn(key), await isIn(body.token)]).toEqual([false, false])
    await identity.call('PATCH', '/v1/service-accounts/robot', { by: acme.owner, body: { isActive: true } })
    expect([await isIn(key), await isIn(body.token)]).toEqual([true, false])
    const again = await identity.call<{ token: string }>('POST', '/v1/tokens', { by: key, body: { ttlSeconds: 86_400 } })
    await identity.call('DELETE', '/v1/service-accounts/robot', { by: acme.owner })
    await account({ roles: ['administrator'] })
    expect([await isIn(key), await isIn(again.body.token)]).toEqual([false, false])
    expect(await isIn(await newKey())).toBe(true)
  })

  test('can not be given keys by who may less', async () => {
    await account({ roles: ['owner'] })
    const admin = await identity.newPerson(acme, 'admin', ['administrator'])
    const attempt = await identity.call('POST', '/v1/service-accounts/robot/keys', {
      by: admin.accessToken,
      body: { name: 'ci', capabilities: ['me.read'] },
    })
    expect(attempt).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  })
})

test('an API key is rotated with an overlap over HTTP', async () => {
  const { key, record } = await keyOf(acme.owner, ['me.read'])
  const rotated = await identity.call<{ key: string; record: { replaces: string } }>('POST', `/v1/api-keys/${record.id}/rotate`, {
    by: acme.owner,
    body: { overlapSeconds: 60 },
  })
  expect(rotated).toMatchObject({ status: 201, body: { record: { replaces: record.id } } })
  expect([await isIn(key), await isIn(rotated.body.key)]).toEqual([true, true])
})

describe('tenants', () => {
  test('are apart: the same address in two is two people, and nobody of one finds anybody of the other', async () => {
    const globex = await identity.newTenant()
    const [here, there] = [await identity.newPerson(acme, 'ada', ['owner']), await identity.newPerson(globex, 'ada', ['owner'])]
    expect(here.userId).not.toBe(there.userId)
    const by = here.accessToken
    const { body } = await identity.call<{ items: { id: string }[] }>('GET', '/v1/users', { by })
    expect(body.items.map(({ id }) => id)).toEqual([here.userId])
    const attempts = [
      await identity.call('GET', `/v1/users/${there.userId}`, { by }),
      await change(there.userId, { isActive: false }, by),
      await identity.call('DELETE', `/v1/users/${there.userId}`, { by }),
      await identity.call('POST', `/v1/users/${there.userId}/password-link`, { by }),
      await identity.call('DELETE', `/v1/sessions/${there.sessionId}?user=${there.userId}`, { by }),
    ]
    for (const attempt of attempts) expect(attempt).toMatchObject({ status: 404 })
    await identity.call('DELETE', `/v1/sessions?user=${there.userId}`, { by })
    expect(await isIn(there.accessToken)).toBe(true)
  })

  test('are apart in the database: a query that forgets its tenant sees the own rows only', async () => {
    const globex = await identity.newTenant()
    await identity.newPerson(acme, 'ada')
    await identity.newPerson(globex, 'bob')
    for (const table of ['users', 'credentials', 'sessions', 'invitations', 'api_keys']) {
      const { rows } = await identity.sql.tenant(acme.tenant).query(`select distinct tenant from identity.${table}`)
      expect(rows, table).toEqual([{ tenant: acme.tenant }])
    }
    await expect(
      identity.sql.tenant(acme.tenant).query("insert into identity.roles values ($1, 'spy', '', '{}')", [globex.tenant]),
    ).rejects.toThrow(/row-level security/)
  })

  test('are made by the owner of the platform, with a link for the first administrator', async () => {
    const make = (by: string, id = 'initech') =>
      identity.call<{ link: { token: string }; code: string }>('POST', '/v1/tenants', {
        by,
        body: { id, name: 'Initech', administrator: 'bill@example.org' },
      })
    const admin = await identity.newPerson(acme, 'admin', ['administrator'])
    expect(await make(admin.accessToken)).toMatchObject({ status: 403 })
    const made = await make(acme.owner)
    expect(made).toMatchObject({ status: 201, body: { tenant: { id: 'initech', name: 'Initech' } } })
    expect(await make(acme.owner)).toMatchObject({ status: 409, body: { code: 'conflict' } })
    expect(await make(acme.owner, 'platform')).toMatchObject({ status: 409 })
    const joined = await identity.call<Tokens>('POST', '/v1/invitations/accept', {
      body: { token: made.body.link.token, password: PASSWORD },
    })
    const by = joined.body.accessToken
    expect((await identity.me(by)).body).toMatchObject({ tenant: 'initech' })
    expect((await identity.call('PATCH', '/v1/tenant', { by, body: { name: 'Initech Ltd' } })).body).toMatchObject({ name: 'Initech Ltd' })
    expect((await identity.call('GET', '/v1/tenant', { by })).body).toMatchObject({ id: 'initech', name: 'Initech Ltd' })
    const { body } = await identity.call<{ items: { id: string }[] }>('GET', '/v1/tenants', { by: acme.owner })
    expect(body.items.map(({ id }) => id)).toContain('initech')
  })
})

test('what people do with accounts is in the ledger, without addresses and secrets', async () => {
  const person = await identity.newPerson(acme, 'ada')
  await change(person.userId, { roles: ['developer'], email: 'ada.l@example.org' })
  await issueApiKey(identity.sql, { tenant: acme.tenant, name: 'k', capabilities: ['*'] }, 'platform')
  await identity.call('DELETE', `/v1/users/${person.userId}`, { by: acme.owner })
  const entries = await identity.journal.read(acme.tenant, 'identity')
  expect(entries.map(({ kind }) => kind)).toEqual([
    'identity.invited',
    'identity.user_joined',
    'identity.user_changed',
    'identity.user_deleted',
  ])
  expect(entries[2]?.payload).toMatchObject({
    user: person.userId,
    by: expect.stringMatching(/^key:/),
    change: { roles: ['developer'], email: true },
  })
  expect(JSON.stringify(entries)).not.toMatch(/example\.org|horse/)
})
