import { isDeepStrictEqual } from 'node:util'
import { PUBLIC_ROUTES } from '@soma/kernel/http/public-routes'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rowsOf } from '../isolation/every-table.ts'
import { policyLets, ROLE_NAMES, type RoleName, roleHolds } from './role-table.ts'
import { type Outcome, ROWS } from './rows.ts'
import { openStage, type Route, type Stage } from './stage.ts'
import type { Answer } from './world.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
}, 120_000)
afterAll(() => stage?.world.close())

/** What the tables say that the role gets for something of its own tenant. */
function expectedOf(route: Route, role: RoleName): Outcome {
  const { capability, effect, row } = route
  if (row.anybody !== undefined) return row.anybody
  if (!roleHolds(role, capability)) return [403, 'forbidden']
  if (!policyLets(role, capability, effect)) return [403, 'policy_denied']
  return (role.startsWith('agent') ? row.agents : undefined) ?? row.allowed
}

/** True for whoever gets past the gate with it. */
const passes = (route: Route, role: RoleName) =>
  route.row.anybody === undefined && roleHolds(role, route.capability) && policyLets(role, route.capability, route.effect)

const outcomeOf = ({ status, code }: Answer, wanted: Outcome): Outcome => (typeof wanted === 'number' ? status : [status, code ?? ''])

/** Asks for every route, those of one area one after the other, and gives what did not come out as wanted. */
async function departures(ask: (route: Route) => Promise<[wanted: Outcome, got: Answer] | undefined>): Promise<Record<string, string>> {
  const wrong: Record<string, string> = {}
  const areas = new Set(stage.routes.map(areaOf))
  await Promise.all(
    [...areas].map(async (area) => {
      for (const route of stage.routes.filter((each) => areaOf(each) === area)) {
        const [wanted, got] = (await ask(route)) ?? []
        if (wanted === undefined || got === undefined || isDeepStrictEqual(outcomeOf(got, wanted), wanted)) continue
        wrong[route.name] = `expected ${wanted}, got ${got.status} ${got.text.slice(0, 300)}`
      }
    }),
  )
  return wrong
}

/** `runs` of `/v1/runs/{id}/cancel` */
const areaOf = ({ path }: Route) => path.split('/')[2] ?? path

describe('the table', () => {
  test('has a row for every route of the document, and none besides', () => {
    expect(Object.keys(ROWS).sort()).toEqual(stage.routes.map(({ name }) => name).sort())
    expect(stage.routes.length).toBeGreaterThan(100)
  })

  test('the document shows every route there is, but for its own pages and sockets', () => {
    const documented = new Set(stage.routes.map(({ method, path }) => `${method} ${path}`))
    const hidden = stage.world.routes
      .flatMap(({ methods, url }) => methods.map((method) => `${method} ${url.replace(/:(\w+)/g, '{$1}')}`))
      // Every GET also answers to HEAD.
      .filter((route) => !documented.has(route) && !documented.has(route.replace('HEAD ', 'GET ')))
      .map((route) => route.replace('HEAD ', 'GET '))
    expect([...new Set(hidden)].filter((route) => !route.startsWith('GET /docs')).sort()).toEqual([
      'GET /openapi.json',
      'GET /v1/projects/{id}/stream',
    ])
  })

  test('what is public is what the list of public routes says, each for a reason', () => {
    const listed = Object.keys(PUBLIC_ROUTES).map((route) => route.replace(/:(\w+)/g, '{$1}'))
    const documented = listed.filter((route) => !/^GET \/(docs|openapi\.json)/.test(route))
    expect(
      stage.routes
        .filter(({ isPublic }) => isPublic)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(documented.sort())
    for (const route of stage.routes) expect(route.row.anybody !== undefined, route.name).toBe(route.isPublic)
    for (const reason of Object.values(PUBLIC_ROUTES)) expect(reason.length).toBeGreaterThan(15)
  })
})

describe.each(ROLE_NAMES)('%s', (role) => {
  test('in the own tenant', { timeout: 120_000 }, async () => {
    const wrong = await departures(async (route) => {
      const caller = await stage.callerFor(role, route, passes(route, role))
      const parameters = await stage.parametersOf(route, stage.acme, caller, passes(route, role))
      return [expectedOf(route, role), await stage.send(route, caller, parameters)]
    })
    expect(wrong).toEqual({})
  })

  test('for what belongs to another tenant: as if it were not there, and it stays as it is', { timeout: 120_000 }, async () => {
    const { world, globex } = stage
    // Made before, so that making it is no change.
    for (const { row } of stage.routes) if (row.of) await stage.shared(row.of, globex)
    const before = await stage.settledRowsOf(globex.name)
    const told: Record<string, string> = {}
    const wrong = await departures(async (route) => {
      if (!route.row.of) return undefined
      const caller = await stage.callerFor(role, route, passes(route, role))
      const theirs = await stage.shared(route.row.of, globex)
      const got = await stage.send(route, caller, theirs)
      const absent = await stage.send(route, await stage.callerFor(role, route, passes(route, role)), stage.absentLike(theirs))
      if (!isDeepStrictEqual(stage.anonymous(got, theirs), stage.anonymous(absent, stage.absentLike(theirs))))
        told[route.name] = `${got.status} ${got.text.slice(0, 200)} differs from ${absent.status} ${absent.text.slice(0, 200)}`
      return [passes(route, role) ? (route.row.elsewhere ?? [404, 'not_found']) : expectedOf(route, role), got]
    })
    expect(wrong).toEqual({})
    expect(told, 'what the answer tells of the other tenant').toEqual({})
    expect(await rowsOf(world.sql, globex.name)).toEqual(before)
  })

  test.each(['no token', 'an expired token', 'a token for another audience', 'a revoked token'] as const)('with %s', async (which) => {
    const { spoiled } = stage.callers[role]
    const token = {
      'no token': undefined,
      'an expired token': spoiled.expired,
      'a token for another audience': spoiled.otherAudience,
      'a revoked token': spoiled.revoked,
    }[which]
    const wrong = await departures(async (route) => {
      const parameters = route.row.of ? await stage.shared(route.row.of, stage.acme) : (route.row.given ?? {})
      return [route.row.anybody ?? [401, 'unauthenticated'], await stage.send(route, { ...stage.acme.owner, token }, parameters)]
    })
    expect(wrong).toEqual({})
  })

  test('on the sockets', async () => {
    const ask = async (token: string | undefined, id: string) => stage.world.openSocket(`/v1/projects/${id}/stream`, token)
    const { id } = (await stage.shared('project', stage.acme)) as { id: string }
    const { id: theirs } = (await stage.shared('project', stage.globex)) as { id: string }
    const { person, spoiled } = stage.callers[role]
    const may = roleHolds(role, 'project.read')
    expect(await ask(person.token, id)).toBe(may ? 'project' : '403')
    expect(await ask(person.token, theirs)).toBe(may ? 'closed 1011' : '403')
    for (const token of [undefined, ...Object.values(spoiled)]) expect(await ask(token, id)).toBe('401')
  })
})

test('no page of the documentation and no unknown address gives anything away', async () => {
  const { world } = stage
  const hidden = world.routes.filter(({ url }) => url.startsWith('/docs') || url === '/openapi.json')
  expect(hidden.length).toBeGreaterThan(5)
  for (const { url } of hidden) {
    const { text } = await world.call({ method: 'GET', path: url.replace('*', 'index.css') })
    for (const tenant of [stage.acme, stage.globex]) expect(text).not.toContain(tenant.name)
  }
  for (const path of ['/v1/nothing', '/v1/runs/a/b/c', '/admin', '/.env'])
    expect((await world.call({ method: 'GET', path })).status, path).toBe(404)
})
