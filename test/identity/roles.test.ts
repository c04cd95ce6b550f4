import { readFile } from 'node:fs/promises'
import { DEFAULT_ROLES, defaultCapabilities } from '@soma/contracts/roles'
import { covers } from '@soma/contracts/tenant'
import { expect, test } from 'vitest'

type Operations = Record<string, Record<string, { 'x-soma-capability'?: string; 'x-soma-effect'?: string }>>
const document = JSON.parse(await readFile(new URL('../../packages/sdk/openapi.json', import.meta.url), 'utf8')) as { paths: Operations }
const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods))
const needed = [...new Set(operations.map((operation) => operation['x-soma-capability']))].filter(
  (capability): capability is string => capability !== undefined && capability !== 'public',
)
/** What crosses tenants, and what the platform's processes ask of each other. */
const ownersAlone = (capability: string) => capability.startsWith('platform.') || capability === 'kill.everything'

test('an administrator may everything that the API offers, except what crosses tenants', () => {
  expect(needed.length).toBeGreaterThan(30)
  const lacking = needed.filter((capability) => !covers(defaultCapabilities('administrator'), capability))
  expect(lacking.filter((capability) => !ownersAlone(capability))).toEqual([])
  expect(needed.filter(ownersAlone).filter((capability) => covers(defaultCapabilities('administrator'), capability))).toEqual([])
})

test('auditor and viewer change nothing but their own accounts, and what a question is answered with', () => {
  const writing = operations
    .filter((operation) => operation['x-soma-effect'] !== 'read')
    .map((operation) => operation['x-soma-capability'] ?? '')
  for (const name of ['auditor', 'viewer'] as const) {
    const may = writing.filter((capability) => covers(defaultCapabilities(name), capability) && !capability.startsWith('me.'))
    expect(
      may.filter((capability) => !['audit.checkpoint', 'policy.evaluate'].includes(capability)),
      name,
    ).toEqual([])
  }
})

test('no role but the owner’s holds everything, and every role lets people manage their own account', () => {
  for (const { name, capabilities } of DEFAULT_ROLES) {
    expect(covers(capabilities, 'kill.everything'), name).toBe(name === 'owner')
    expect(covers(capabilities, 'me.mfa'), name).toBe(true)
  }
})
