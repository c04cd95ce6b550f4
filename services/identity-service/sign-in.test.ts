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

let addresses = 0
/** An address that nobody failed from. */
const newAddress = () => `10.1.${Math.floor(addresses / 250)}.${(addresses++ % 250) + 1}`
const refusal = { status: 401, body: { code: 'unauthenticated' } }
const isIn = async (token: string) => (await identity.me(token)).status === 200
const refresh = (tenant: string, refreshToken: string) =>
  identity.call<Tokens>('POST', '/v1/auth/refresh', { body: { tenant, refreshToken } })

test('who was invited joins once, with the roles that were given, and signs in from then on', async () => {
  const { call, signIn, me } = identity
  const { body } = await call<{ token: string }>('POST', '/v1/invitations', {
    by: acme.owner,
    body: { email: 'Ada@Example.org', roles: ['developer'] },
  })
  const accept = { token: body.token, name: 'Ada', password: PASSWORD }
  const joined = await call<Tokens>('POST', '/v1/invitations/accept', { body: accept })
  expect(joined.status).toBe(201)
  expect(await call('POST', '/v1/invitations/accept', { body: accept })).toMatchObject(refusal)

  const signed = await signIn(acme.tenant, 'ada@example.ORG')
  expect((await me(signed.body.accessToken)).body).toMatchObject({
    id: `user:${joined.body.userId}`,
    kind: 'user',
    tenant: acme.tenant,
    capabilities: expect.arrayContaining(['project.*']),
    session: signed.body.sessionId,
  })
  expect((await call('GET', '/v1/account', { by: signed.body.accessToken })).body).toMatchObject({
    email: 'ada@example.org',
    name: 'Ada',
    hasPassword: true,
    hasSecondFactor: false,
  })
})

describe('nobody learns who has an account', () => {
  test('unknown, wrong, disabled and of another tenant get the same answer', async () => {
    const person = await identity.newPerson(acme, 'eve')
    const gone = await identity.newPerson(acme, 'gone')
    await identity.call('PATCH', `/v1/users/${gone.userId}`, { by: acme.owner, body: { isActive: false } })
    const globex = await identity.newTenant()
    const answers = [
      await identity.signIn(acme.tenant, 'nobody@example.org'),
      await identity.signIn(acme.tenant, person.email, 'wrong horse battery staple'),
      await identity.signIn(acme.tenant, gone.email),
      await identity.signIn(globex.tenant, person.email),
      await identity.signIn('no-such-tenant', person.email),
      await identity.signIn(acme.tenant, 'platform@example.org', 'x'),
    ]
    const shown = answers.map(({ status, body }) => {
      const { traceId: _, ...problem } = body as Record<string, unknown>
      return JSON.stringify({ status, problem })
    })
    expect(new Set(shown).size).toBe(1)
    expect(answers[0]).toMatchObject(refusal)
  })

  test('and an unknown address takes as long as a wrong password', async () => {
    const person = await identity.newPerson(acme, 'slow')
    const least = async (email: string) => {
      const times: number[] = []
      for (let round = 0; round < 5; round++) {
        const began = performance.now()
        await identity.signIn(acme.tenant, email, 'wrong horse battery staple', newAddress())
        times.push(performance.now() - began)
      }
      return Math.min(...times)
    }
    const [known, unknown] = [await least(person.email), await least('nobody-at-all@example.org')]
    expect(unknown / known).toBeGreaterThan(0.5)
    expect(unknown / known).toBeLessThan(2)
  })
})

describe('guessing', () => {
  const guess = (email: string, address = newAddress()) => identity.signIn(acme.tenant, email, 'wrong horse battery staple', address)
  const waitsOf = async (email: string) => {
    const waits: number[] = []
    for (let failure = 0; failure < 9; failure++) {
      // As if the time had passed that the last answer asked for.
      await identity.sql.platform.query('update identity.attempts set blocked_until = now()')
      await guess(email)
      const { status, body } = await guess(email)
      waits.push(status === 429 ? body.details.retryAfterSeconds : 0)
    }
    return waits
  }

  test('an account is closed for a while that grows with every failure, whether it exists or not, also to the right password', async () => {
    const { email } = await identity.newPerson(acme, 'guessed')
    for (const each of ['unknown@example.org', email]) {
      const waits = await waitsOf(each)
      expect(waits[0]).toBe(0)
      expect(waits.at(-1)).toBeGreaterThan(30)
      expect(waits).toEqual(waits.toSorted((one, other) => one - other))
      const closed = await identity.signIn(acme.tenant, each, PASSWORD, newAddress())
      expect(closed).toMatchObject({ status: 429, body: { code: 'rate_limited' } })
      expect(Number(closed.headers['retry-after'])).toBeGreaterThan(1)
    }
    await identity.sql.platform.query('update identity.attempts set blocked_until = now()')
    expect((await identity.signIn(acme.tenant, email, PASSWORD, newAddress())).status).toBe(200)
    expect((await guess(email)).status).toBe(401)
  })

  test('many guesses at once get no further than a few in a row', async () => {
    const { email } = await identity.newPerson(acme, 'hurried')
    const answers = await Promise.all(Array.from({ length: 60 }, () => guess(email)))
    expect(answers.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(6)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401, 429]))
  })

  test('trying many accounts from one address is slowed down, and having one of them does not help', async () => {
    const { email } = await identity.newPerson(acme, 'insider')
    const address = newAddress()
    let seen = 0
    for (let attempt = 0; seen !== 429 && attempt < 120; attempt++) {
      if (attempt % 10 === 9) await identity.signIn(acme.tenant, email, PASSWORD, address)
      seen = (await guess(`victim-${attempt}@example.org`, address)).status
    }
    expect(seen).toBe(429)
    expect((await guess('another@example.org')).status).toBe(401)
  })
})

describe('a session', () => {
  test('goes on with its refresh token, which nobody can make from what the database holds', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const other = await identity.newPerson(acme, 'bob')
    const renewed = await refresh(acme.tenant, person.refreshToken)
    expect(renewed).toMatchObject({ status: 200, body: { userId: person.userId, sessionId: person.sessionId } })
    expect(await isIn(renewed.body.accessToken)).toBe(true)

    const { rows } = await identity.sql.platform.query('select token from identity.sessions where id = $1', [person.sessionId])
    const proof = other.refreshToken.split('.')[1]
    for (const forged of [
      rows[0].token,
      `${person.sessionId}.${rows[0].token}`,
      `${person.sessionId}.${proof}`,
      person.sessionId,
      '.',
      '',
      'x.y.z',
    ])
      expect(await refresh(acme.tenant, forged)).toMatchObject(refusal)
    const globex = await identity.newTenant()
    expect(await refresh(globex.tenant, person.refreshToken)).toMatchObject(refusal)
    const everything = await identity.sql.platform.query('select s::text as line from identity.sessions s')
    for (const { line } of everything.rows) expect(line).not.toContain(person.refreshToken.split('.')[1])
  })

  test('ends with a sign-out: its tokens are refused, those of the other sessions are not', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const second = (await identity.signIn(acme.tenant, person.email)).body
    const exchanged = await identity.call<{ token: string }>('POST', '/v1/tokens', { by: acme.owner, body: {} })
    expect((await identity.call('POST', '/v1/auth/sign-out', { by: person.accessToken })).body).toEqual({ ended: true })
    expect(await isIn(person.accessToken)).toBe(false)
    expect(await refresh(acme.tenant, person.refreshToken)).toMatchObject(refusal)
    expect([await isIn(second.accessToken), await isIn(exchanged.body.token)]).toEqual([true, true])
  })

  test('takes what its token was exchanged for along', async () => {
    const person = await identity.newPerson(acme, 'dev', ['developer'])
    const { body } = await identity.call<{ token: string }>('POST', '/v1/tokens', { by: person.accessToken, body: { ttlSeconds: 86_400 } })
    expect(await isIn(body.token)).toBe(true)
    await identity.call('POST', '/v1/auth/sign-out', { by: person.accessToken })
    expect(await isIn(body.token)).toBe(false)
  })

  test('is listed, ended one by one or all but this; those of others by an administrator alone', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const others = [(await identity.signIn(acme.tenant, person.email)).body, (await identity.signIn(acme.tenant, person.email)).body]
    const list = (by: string, query = '') =>
      identity.call<{ items: { id: string; isOwn: boolean; userId: string }[]; nextCursor: string | null }>('GET', `/v1/sessions${query}`, {
        by,
      })
    const { body } = await list(person.accessToken)
    expect(body.items.map(({ id }) => id).sort()).toEqual([person, ...others].map(({ sessionId }) => sessionId).sort())
    expect(body.items.filter(({ isOwn }) => isOwn)).toMatchObject([{ id: person.sessionId }])
    const first = await list(person.accessToken, '?limit=2')
    const rest = await list(person.accessToken, `?limit=2&cursor=${first.body.nextCursor}`)
    expect([...first.body.items, ...rest.body.items].map(({ id }) => id)).toEqual(body.items.map(({ id }) => id))

    const stranger = await identity.newPerson(acme, 'stranger')
    expect(await list(stranger.accessToken, `?user=${person.userId}`)).toMatchObject({ status: 403 })
    expect(await identity.call('DELETE', `/v1/sessions/${person.sessionId}`, { by: stranger.accessToken })).toMatchObject({ status: 404 })
    expect((await list(acme.owner, `?user=${person.userId}`)).body.items).toHaveLength(3)

    await identity.call('DELETE', `/v1/sessions/${others[0]?.sessionId}`, { by: person.accessToken })
    expect(await isIn(others[0]?.accessToken as string)).toBe(false)
    expect((await identity.call('DELETE', '/v1/sessions', { by: person.accessToken })).body).toEqual({ ended: 1 })
    expect([await isIn(others[1]?.accessToken as string), await isIn(person.accessToken)]).toEqual([false, true])
    await identity.call('DELETE', `/v1/sessions?user=${person.userId}`, { by: acme.owner })
    expect(await isIn(person.accessToken)).toBe(false)
  })

  test('ends when it is not used, and after thirty days in any case', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const set = (change: string) => identity.sql.platform.query(`update identity.sessions set ${change} where id = $1`, [person.sessionId])
    await set("created_at = now() - interval '29 days'")
    expect((await refresh(acme.tenant, person.refreshToken)).status).toBe(200)
    await set("created_at = now() - interval '31 days'")
    expect(await refresh(acme.tenant, person.refreshToken)).toMatchObject(refusal)
    await set("created_at = now(), expires_at = now() - interval '1 second'")
    expect(await refresh(acme.tenant, person.refreshToken)).toMatchObject(refusal)
  })
})

describe('a password', () => {
  const next = 'another horse battery staple'

  test('is changed by who knows it, and every other session ends', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const other = (await identity.signIn(acme.tenant, person.email)).body
    const change = (current: string, to: string) =>
      identity.call('POST', '/v1/account/password', { by: person.accessToken, body: { current, next: to } })
    expect(await change('wrong horse battery', next)).toMatchObject(refusal)
    expect(await change(PASSWORD, 'short')).toMatchObject({ status: 400, body: { code: 'invalid_input' } })
    expect(await change(PASSWORD, next)).toMatchObject({ status: 200, body: { endedSessions: 1 } })
    expect([await isIn(other.accessToken), await isIn(person.accessToken)]).toEqual([false, true])
    expect(await identity.signIn(acme.tenant, person.email)).toMatchObject(refusal)
    expect((await identity.signIn(acme.tenant, person.email, next)).status).toBe(200)
  })

  test('that was forgotten is set anew by a link, once; the sessions from before end', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { body } = await identity.call<{ token: string }>('POST', `/v1/users/${person.userId}/password-link`, { by: acme.owner })
    const accept = (password: string) => identity.call<Tokens>('POST', '/v1/invitations/accept', { body: { token: body.token, password } })
    expect((await accept('short')).status).toBe(400)
    const signed = await accept(next)
    expect(signed).toMatchObject({ status: 201, body: { userId: person.userId } })
    expect([await isIn(person.accessToken), await isIn(signed.body.accessToken)]).toEqual([false, true])
    expect(await accept('a third horse battery')).toMatchObject(refusal)
    expect((await identity.signIn(acme.tenant, person.email, next)).status).toBe(200)
  })

  test('is kept as a salted scrypt hash', async () => {
    await identity.newPerson(acme, 'ada')
    await identity.newPerson(acme, 'bob')
    const { rows } = await identity.sql.platform.query('select password from identity.credentials where tenant = $1', [acme.tenant])
    expect(new Set(rows.map(({ password }) => password)).size).toBe(2)
    for (const { password } of rows) expect(password).toMatch(/^[0-9a-f]{32}:[0-9a-f]{128}$/)
  })
})

test('signing in, failing to, and signing out are in the ledger of the tenant, without what was typed', async () => {
  const person = await identity.newPerson(acme, 'ada')
  await identity.signIn(acme.tenant, person.email, 'wrong horse battery staple')
  await identity.signIn(acme.tenant, 'stranger@example.org', 'wrong horse battery staple')
  const { body } = await identity.signIn(acme.tenant, person.email)
  await identity.call('POST', '/v1/auth/sign-out', { by: body.accessToken })
  const entries = () => identity.journal.read(acme.tenant, 'identity')
  await expect
    .poll(async () => (await entries()).map(({ kind }) => kind))
    .toEqual(['identity.invited', 'identity.user_joined', 'identity.sign_in_failed', 'identity.signed_in', 'identity.signed_out'])
  expect(JSON.stringify(await entries())).not.toMatch(/horse|example\.org/)
})

test('where people sign in at an issuer of OpenID Connect, nobody signs in here', async () => {
  const elsewhere = await openIdentityServer({ auth: { issuer: 'https://id.example.org', clientId: 'soma', audience: 'soma-api' } })
  const tenant = await elsewhere.newTenant()
  expect((await elsewhere.call('GET', '/v1/auth/methods')).body).toMatchObject({ password: null, openIdConnect: { clientId: 'soma' } })
  for (const answer of [
    await elsewhere.signIn(tenant.tenant, 'ada@example.org'),
    await elsewhere.call('POST', '/v1/invitations', { by: tenant.owner, body: { email: 'ada@example.org', roles: ['viewer'] } }),
    await elsewhere.call('POST', '/v1/auth/refresh', { body: { refreshToken: 'x' } }),
  ])
    expect(answer).toMatchObject({ status: 409, body: { code: 'conflict', details: { issuer: 'https://id.example.org' } } })
  await elsewhere.close()
})
