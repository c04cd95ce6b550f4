import { URI } from 'otpauth'
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

type Person = Tokens & { email: string }
interface Enrolment {
  uri: string
  recoveryCodes: string[]
}
const PERIOD = 30_000
/** The code that the app shows, or showed or will show some periods from now. */
const codeOf = ({ uri }: Enrolment, periods = 0) => URI.parse(uri).generate({ timestamp: Date.now() + periods * PERIOD } as never)
const begin = (by: string, body: object = { password: PASSWORD }) =>
  identity.call<Enrolment>('POST', '/v1/users/me/mfa/enroll', { by, body })
/** As if minutes had passed, so that the codes shown before are forgotten. */
const later = () => identity.sql.platform.query("update identity.used_codes set used_at = used_at - interval '10 minutes'")
const factor = (challenge: string, body: object) =>
  identity.call<Tokens>('POST', '/v1/auth/sign-in/factor', { body: { tenant: acme.tenant, challenge, ...body } })
const stepUp = (by: string, body: object) => identity.call<Tokens>('POST', '/v1/auth/step-up', { by, body })
const challengeOf = async ({ email }: { email: string }) => (await identity.signIn(acme.tenant, email)).body.challenge
const refused = { status: 401, body: { code: 'unauthenticated' } }
const isIn = async (token: string) => (await identity.me(token)).status === 200

async function enrol(person: Person): Promise<{ enrolment: Enrolment; signed: Tokens }> {
  const enrolment = (await begin(person.accessToken)).body
  const verified = await identity.call<Tokens>('POST', `/v1/users/${person.userId}/mfa/verify`, {
    by: person.accessToken,
    body: { code: codeOf(enrolment) },
  })
  expect(verified.status).toBe(200)
  await later()
  return { enrolment, signed: verified.body }
}

test('an authenticator app is in force from its first code on: a password alone opens nothing then', async () => {
  const person = await identity.newPerson(acme, 'ada')
  const begun = await begin(person.accessToken)
  expect(begun.body).toMatchObject({ uri: expect.stringMatching(/^otpauth:\/\/totp\//), recoveryCodes: expect.any(Array) })
  // Not yet: whoever did not get it into the app is not locked out.
  expect((await identity.signIn(acme.tenant, person.email)).body).toHaveProperty('accessToken')

  const verified = await identity.call<Tokens>('POST', '/v1/users/me/mfa/verify', {
    by: person.accessToken,
    body: { code: codeOf(begun.body) },
  })
  expect((await identity.me(verified.body.accessToken)).body).toMatchObject({ mfa: true, mfaAt: expect.any(Number) })
  // The session goes on as another one.
  expect(await isIn(person.accessToken)).toBe(false)

  const signed = await identity.signIn(acme.tenant, person.email)
  expect(signed.body).toEqual({ challenge: expect.any(String), factors: ['code', 'recoveryCode'] })
  await later()
  const opened = await factor(signed.body.challenge, { code: codeOf(begun.body) })
  const { body } = await identity.me(opened.body.accessToken)
  expect(body).toMatchObject({ id: `user:${person.userId}`, mfa: true })
  expect((body.mfaAt ?? 0) * 1000).toBeGreaterThan(Date.now() - 60_000)
})

test('it is begun by who knows the password, for the own account alone, and once', async () => {
  const [person, other] = [await identity.newPerson(acme, 'ada'), await identity.newPerson(acme, 'bob')]
  expect(await begin(person.accessToken, { password: 'wrong horse battery' })).toMatchObject(refused)
  expect(await begin(person.accessToken, {})).toMatchObject({ status: 400 })
  const forOther = await identity.call('POST', `/v1/users/${person.userId}/mfa/enroll`, {
    by: other.accessToken,
    body: { password: PASSWORD },
  })
  expect(forOther).toMatchObject({ status: 403 })
  expect(await begin(acme.owner)).toMatchObject({ status: 403 })
  const { signed } = await enrol(person)
  expect(await begin(signed.accessToken)).toMatchObject({ status: 409, body: { code: 'conflict' } })
})

describe('a code', () => {
  test('that was used is refused in the same window, to sign in as well as to step up', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { enrolment } = await enrol(person)
    const code = codeOf(enrolment)
    const opened = await factor(await challengeOf(person), { code })
    expect(opened.status).toBe(200)
    expect(await factor(await challengeOf(person), { code })).toMatchObject(refused)
    expect(await stepUp(opened.body.accessToken, { code })).toMatchObject(refused)
    const next = codeOf(enrolment, 1)
    expect((await stepUp(opened.body.accessToken, { code: next })).status).toBe(200)
    expect(await factor(await challengeOf(person), { code: next })).toMatchObject(refused)
  })

  test('is good for one of many who show it at once', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { enrolment } = await enrol(person)
    const challenges = [await challengeOf(person), await challengeOf(person), await challengeOf(person), await challengeOf(person)]
    const answers = await Promise.all(challenges.map((challenge) => factor(challenge, { code: codeOf(enrolment) })))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  test('of another time or another person is refused', async () => {
    const [ada, bob] = [await identity.newPerson(acme, 'ada'), await identity.newPerson(acme, 'bob')]
    const [{ enrolment }, { enrolment: ofBob }] = [await enrol(ada), await enrol(bob)]
    for (const code of [codeOf(enrolment, -4), codeOf(enrolment, 4), codeOf(ofBob)])
      expect(await factor(await challengeOf(ada), { code })).toMatchObject(refused)
  })

  test('can not be guessed: the account closes after a few, for whoever has the password as for whoever has a session', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { enrolment, signed } = await enrol(person)
    const right = [codeOf(enrolment, -1), codeOf(enrolment), codeOf(enrolment, 1)]
    const wrong = Array.from({ length: 15 }, (_, index) => `00000${index}`.slice(-6)).filter((code) => !right.includes(code))
    for (const code of wrong.slice(0, 12)) {
      // As if the time had passed that the last answer asked for.
      await identity.sql.platform.query('update identity.attempts set blocked_until = now()')
      expect(await stepUp(signed.accessToken, { code })).toMatchObject(refused)
    }
    expect(await factor(await challengeOf(person), { code: codeOf(enrolment) })).toMatchObject({ status: 429 })
    expect(await stepUp(signed.accessToken, { code: codeOf(enrolment) })).toMatchObject({ status: 429, body: { code: 'rate_limited' } })
  })
})

describe('a challenge', () => {
  test('is good once, for its tenant, and can not be made up', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { enrolment } = await enrol(person)
    const challenge = await challengeOf(person)
    const [identifier] = challenge.split('.')
    for (const forged of [identifier as string, `${identifier}.x`, 'x', `${identifier}.${challenge.split('.')[1]?.slice(1)}`])
      expect(await factor(forged, { code: codeOf(enrolment) })).toMatchObject(refused)
    await later()
    const globex = await identity.newTenant()
    const elsewhere = await identity.call('POST', '/v1/auth/sign-in/factor', {
      body: { tenant: globex.tenant, challenge, code: codeOf(enrolment) },
    })
    expect(elsewhere).toMatchObject(refused)
    expect((await factor(challenge, { code: codeOf(enrolment) })).status).toBe(200)
    expect(await factor(challenge, { code: codeOf(enrolment, 1) })).toMatchObject(refused)
  })

  test('needs exactly one factor', async () => {
    for (const body of [{}, { code: '123456', recoveryCode: 'abcde-fghij' }, { code: '12345' }])
      expect(await factor('x', body)).toMatchObject({ status: 400, body: { code: 'invalid_input' } })
  })
})

describe('a recovery code', () => {
  test('opens the account once', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { enrolment } = await enrol(person)
    const [recoveryCode] = enrolment.recoveryCodes as [string]
    const opened = await factor(await challengeOf(person), { recoveryCode })
    expect((await identity.me(opened.body.accessToken)).body).toMatchObject({ mfa: true })
    expect(await factor(await challengeOf(person), { recoveryCode })).toMatchObject(refused)
    expect((await factor(await challengeOf(person), { recoveryCode: enrolment.recoveryCodes[1] })).status).toBe(200)
  })

  test('is good for one of many who show it at once', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { enrolment } = await enrol(person)
    const [recoveryCode] = enrolment.recoveryCodes
    const challenges = [await challengeOf(person), await challengeOf(person), await challengeOf(person), await challengeOf(person)]
    const answers = await Promise.all(challenges.map((challenge) => factor(challenge, { recoveryCode })))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  test('is good no more once new ones were made, for which a factor must have been shown just now', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { enrolment, signed } = await enrol(person)
    const renew = (by: string) =>
      identity.call<{ recoveryCodes: string[] }>('POST', '/v1/users/me/mfa/recovery-codes', { by, body: { password: PASSWORD } })
    await identity.sql.platform.query("update identity.sessions set factor_at = now() - interval '1 hour' where id = $1", [
      signed.sessionId,
    ])
    const stale = await identity.call<Tokens>('POST', '/v1/auth/refresh', {
      body: { tenant: acme.tenant, refreshToken: signed.refreshToken },
    })
    expect(await renew(stale.body.accessToken)).toMatchObject({
      status: 401,
      body: { code: 'mfa_required', details: { maxAgeSeconds: 600 } },
    })
    const fresh = (await stepUp(stale.body.accessToken, { code: codeOf(enrolment) })).body
    const { body } = await renew(fresh.accessToken)
    expect(body.recoveryCodes).toHaveLength(enrolment.recoveryCodes.length)
    expect(await factor(await challengeOf(person), { recoveryCode: enrolment.recoveryCodes[2] })).toMatchObject(refused)
    expect((await factor(await challengeOf(person), { recoveryCode: body.recoveryCodes[2] })).status).toBe(200)
  })

  test('and the app’s secret are nowhere in the database', async () => {
    const { enrolment } = await enrol(await identity.newPerson(acme, 'ada'))
    const { secret } = URI.parse(enrolment.uri)
    const { rows } = await identity.sql.platform.query('select t::text as line from identity.two_factors t')
    expect(rows.length).toBeGreaterThan(0)
    for (const { line } of rows)
      for (const kept of [secret.base32, secret.utf8, ...enrolment.recoveryCodes]) expect(line).not.toContain(kept)
  })
})

describe('stepping up', () => {
  test('gives a token that says when the factor was shown, and every later token of the session says so too', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { enrolment, signed } = await enrol(person)
    await identity.sql.platform.query("update identity.sessions set factor_at = now() - interval '1 hour' where id = $1", [
      signed.sessionId,
    ])
    const refresh = () =>
      identity.call<Tokens>('POST', '/v1/auth/refresh', { body: { tenant: acme.tenant, refreshToken: signed.refreshToken } })
    const ageOf = async (token: string) => Date.now() / 1000 - ((await identity.me(token)).body.mfaAt ?? 0)
    expect(await ageOf((await refresh()).body.accessToken)).toBeGreaterThan(3500)
    const fresh = await stepUp(signed.accessToken, { code: codeOf(enrolment) })
    expect(await ageOf(fresh.body.accessToken)).toBeLessThan(60)
    expect(await ageOf((await refresh()).body.accessToken)).toBeLessThan(60)
  })

  test('works with a recovery code, and needs a second factor to be there', async () => {
    const [ada, bob] = [await identity.newPerson(acme, 'ada'), await identity.newPerson(acme, 'bob')]
    const { enrolment, signed } = await enrol(ada)
    expect((await stepUp(signed.accessToken, { recoveryCode: enrolment.recoveryCodes[0] })).status).toBe(200)
    expect(await stepUp(signed.accessToken, { recoveryCode: enrolment.recoveryCodes[0] })).toMatchObject(refused)
    expect(await stepUp(bob.accessToken, { code: '123456' })).toMatchObject(refused)
    expect(await stepUp(acme.owner, { code: '123456' })).toMatchObject({ status: 403 })
  })
})

describe('a second factor is taken away', () => {
  test('by its owner, who has just shown it', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { signed } = await enrol(person)
    const removed = await identity.call('POST', '/v1/users/me/mfa/remove', { by: signed.accessToken })
    expect(removed).toMatchObject({ status: 200, body: { hasSecondFactor: false } })
    expect((await identity.signIn(acme.tenant, person.email)).body).toHaveProperty('accessToken')
    expect((await enrol({ ...person, ...signed })).enrolment.uri).toMatch(/^otpauth/)
  })

  test('by an administrator, when it was lost; the sessions end with it', async () => {
    const person = await identity.newPerson(acme, 'ada')
    const { signed } = await enrol(person)
    expect((await identity.call('DELETE', `/v1/users/${person.userId}/mfa`, { by: acme.owner })).body).toMatchObject({
      hasSecondFactor: false,
    })
    expect(await isIn(signed.accessToken)).toBe(false)
    expect((await identity.signIn(acme.tenant, person.email)).body).toHaveProperty('accessToken')
  })
})

test('a link to set another password does not get around the second factor', async () => {
  const person = await identity.newPerson(acme, 'ada')
  const { enrolment, signed } = await enrol(person)
  const { body } = await identity.call<{ token: string }>('POST', `/v1/users/${person.userId}/password-link`, { by: acme.owner })
  const password = 'another horse battery staple'
  const accepted = await identity.call('POST', '/v1/invitations/accept', { body: { token: body.token, password } })
  expect(accepted).toMatchObject({ status: 401, body: { code: 'mfa_required' } })
  expect(accepted.headers['www-authenticate']).toContain('insufficient_user_authentication')
  expect(await isIn(signed.accessToken)).toBe(false)
  const { challenge } = (await identity.signIn(acme.tenant, person.email, password)).body
  expect((await factor(challenge, { code: codeOf(enrolment) })).status).toBe(200)
})
