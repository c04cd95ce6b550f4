import { holds, type Principal } from '@soma/contracts/tenant'
import type { JWTPayload } from 'jose'
import { describe, expect, test } from 'vitest'
import { Config, type ConfigInput } from '../config/schema.ts'
import { principalOf } from './external-issuer.ts'

const PERSON = { sub: 'f3a1', tenant: 'acme', roles: ['soma-viewer'] }
const principal = (claims: JWTPayload, auth: ConfigInput['auth'] = {}) => principalOf(claims, Config.parse({ auth }).auth)

test('roles become capabilities; those that nobody gave a meaning give none', () => {
  const roles = { reader: ['project.read'], runner: ['project.*', 'project.read'] }
  expect(principal({ ...PERSON, roles: ['reader', 'runner', 'manager', '__proto__', 7] }, { roles })).toEqual({
    id: 'user:f3a1',
    kind: 'user',
    tenant: 'acme',
    capabilities: ['project.read', 'project.*'],
    within: [],
  })
  expect(principal({ ...PERSON, roles: undefined })?.capabilities).toEqual([])
  expect(principal({ ...PERSON, roles: { admin: true } })?.capabilities).toEqual([])
})

test('the roles that come with the platform: an owner may everything, an administrator nothing beyond the own tenant, a viewer change nothing but the own account', () => {
  expect(principal({ ...PERSON, roles: ['soma-owner'] })?.capabilities).toEqual(['*'])
  const administrator = principal({ ...PERSON, roles: ['soma-admin'] }) as Principal
  expect(['user.admin', 'project.create', 'kill.admin'].filter((capability) => !holds(administrator, capability))).toEqual([])
  expect(['platform.tenants', 'kill.everything'].filter((capability) => holds(administrator, capability))).toEqual([])
  const viewer = principal(PERSON)?.capabilities ?? []
  expect(viewer.length).toBeGreaterThan(0)
  expect(viewer.filter((capability) => !capability.endsWith('.read') && capability !== 'me.*')).toEqual([])
})

test('claims are where the configuration says: by name, within objects, as lists or as words', () => {
  const claims = { tenant: 'https://soma.example/tenant', roles: 'resource_access.soma.roles', capabilities: 'scope' }
  const said = {
    sub: 'auth0|1',
    'https://soma.example/tenant': 'acme',
    resource_access: { soma: { roles: ['soma-owner'] } },
    scope: 'openid tool.git.read',
  }
  expect(principal(said, { claims })).toMatchObject({ id: 'user:auth0|1', tenant: 'acme', capabilities: ['*', 'openid', 'tool.git.read'] })
  expect(principal({ ...said, resource_access: 'soma' }, { claims })?.capabilities).toEqual(['openid', 'tool.git.read'])
  expect(principal(PERSON, { claims: { tenant: 'constructor.name' } })).toBeUndefined()
})

test('a program that speaks for itself is a client, never a service of the platform', () => {
  expect(principal({ ...PERSON, kind: 'service', client_id: 'robot' })).toMatchObject({ id: 'client:robot', kind: 'service' })
  expect(principal({ ...PERSON, sub: 'robot', client_id: 'robot' })).toMatchObject({ id: 'client:robot', kind: 'service' })
  expect(principal({ ...PERSON, sub: 'service:gate', kind: 'service' })?.id).toBe('client:service:gate')
  expect(principal({ ...PERSON, sub: 'service:gate' })?.id).toBe('user:service:gate')
  expect(principal({ ...PERSON, kind: 'agent' })?.kind).toBe('user')
})

describe('a second factor', () => {
  const mfa = { amr: ['mfa', 'hwk'], acr: ['gold'] }
  test.each([
    [{ amr: ['pwd', 'mfa'] }, true],
    [{ amr: ['hwk'] }, true],
    [{ acr: 'gold' }, true],
    [{ amr: ['pwd'], acr: 'silver' }, undefined],
    [{ acr: ['gold'] }, undefined],
    [{ mfa: true }, undefined],
    [{}, undefined],
  ])('%j: %j', (claims, expected) => {
    expect(principal({ ...PERSON, ...claims }, { mfa })?.mfa).toBe(expected)
  })
})

describe('nobody', () => {
  test.each([
    ['without a tenant', { tenant: undefined }],
    ['with a tenant that is none', { tenant: '../acme' }],
    ['with several tenants', { tenant: ['acme', 'globex'] }],
    ['with a subject that would break a line', { sub: 'ada\nforged' }],
    ['with a token bound to a key', { cnf: { jkt: 'x' } }],
  ])('%s', (_, claims) => {
    expect(principal({ ...PERSON, ...claims })).toBeUndefined()
  })

  test('but with a tenant for those that name none', () => {
    expect(principal({ ...PERSON, tenant: undefined }, { defaultTenant: 'main' })?.tenant).toBe('main')
    expect(principal({ ...PERSON, tenant: 'Not One' }, { defaultTenant: 'main' })).toBeUndefined()
  })
})

describe('settings that would let the wrong ones in are refused', () => {
  test.each([
    [{ issuer: 'http://id.example/realms/soma' }, /https, or http on this machine/],
    [{ issuer: 'https://id.example/?tenant=1' }, /without query/],
    [{ jwksUrl: 'https://id.example/jwks' }, /auth.jwksUrl/],
    [{ issuer: 'https://id.example', audience: 'soma', clientId: 'soma' }, /ID tokens would pass/],
  ])('%j', (auth, message) => {
    expect(() => Config.parse({ auth })).toThrow(message)
  })

  test.each(['https://id.example/realms/soma', 'http://localhost:8080', 'http://127.0.0.1:8080/realms/soma', 'http://[::1]/'])(
    '%s is taken',
    (issuer) => {
      expect(Config.parse({ auth: { issuer } }).auth.issuer).toBe(issuer)
    },
  )
})
