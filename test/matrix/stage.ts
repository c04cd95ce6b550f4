import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { sample } from 'openapi-sampler'
import { rowsOf } from '../isolation/every-table.ts'
import { ROLE_NAMES, type RoleName } from './role-table.ts'
import { ROWS, type Row } from './rows.ts'
import { type Parameters, prepare, startRun, type TenantInMatrix, THINGS, type Thing } from './things.ts'
import { type Answer, type MatrixWorld, openMatrixWorld, type Person } from './world.ts'

/** A route of the OpenAPI document with its row. */
export interface Route {
  /** `GET /v1/runs/{id}` */
  name: string
  method: string
  path: string
  capability: string
  effect: string
  isPublic: boolean
  /** JSON Schema of its body. */
  schema: object | undefined
  row: Row
}

interface Caller {
  person: Person
  spoiled: Awaited<ReturnType<MatrixWorld['spoiled']>>
}

interface Operation {
  'x-soma-capability': string
  'x-soma-effect': string
  security?: object[]
  requestBody?: { content: { 'application/json'?: { schema: object } } }
}

/** Of callers who are no users. */
const NO_USER = { userId: '', refreshToken: '', sessionId: '', email: 'nobody@example.org' }

export type Stage = Awaited<ReturnType<typeof openStage>>

/** The platform with two tenants, somebody of each role in the first, and everything that a path can name in both. */
export async function openStage() {
  const world = await openMatrixWorld()
  const document = (await world.call({ method: 'GET', path: '/openapi.json' })).body as { paths: Record<string, Record<string, Operation>> }
  const [acme, globex] = (await Promise.all(['acme', 'globex'].map(openTenant))) as [TenantInMatrix, TenantInMatrix]
  const callers = Object.fromEntries(await Promise.all(ROLE_NAMES.map(async (role) => [role, await callerWith(role)] as const))) as Record<
    RoleName,
    Caller
  >
  /** What is only looked at, or asked for by those who may not have it, is made once for a tenant. */
  const made = new Map<string, Promise<Parameters>>()

  async function openTenant(name: string): Promise<TenantInMatrix> {
    const key = await world.keyOf(name)
    const [owner, reviewer] = await Promise.all([world.newPerson(key, 'owner'), world.newPerson(key, 'owner')])
    const tenant = { name, key, owner, reviewer }
    await prepare(world, tenant)
    return tenant
  }

  async function callerWith(role: RoleName): Promise<Caller> {
    const person = await personWith(role)
    const { principal } = await world.tokens.verify(person.token as string)
    return { person, spoiled: await world.spoiled(principal) }
  }

  async function personWith(role: RoleName): Promise<Person> {
    if (role === 'agent of a run') {
      const run = await startRun({ world, tenant: acme, caller: acme.owner })
      const { body } = await world.call({ method: 'POST', path: `/v1/runs/${run}/tokens`, token: acme.owner.token, body: {} })
      return { ...NO_USER, token: body.token }
    }
    if (role !== 'agent with everything' && role !== 'nobody') return world.newPerson(acme.key, role)
    const [kind, capabilities] = role === 'nobody' ? (['user', []] as const) : (['agent', ['*']] as const)
    const principal = { id: `${kind}:matrix`, kind, tenant: acme.name, capabilities: [...capabilities], within: [] }
    return { ...NO_USER, token: await world.tokens.issue(principal, { audience: world.audience, ttlSeconds: 3600 }) }
  }

  function shared(thing: Thing, tenant: TenantInMatrix): Promise<Parameters> {
    const key = `${tenant.name} ${thing}`
    const parameters = made.get(key) ?? THINGS[thing]({ world, tenant, caller: tenant.owner })
    made.set(key, parameters)
    return parameters
  }

  return {
    world,
    acme,
    globex,
    callers,
    shared,
    routes: routesOf(document),

    /** Who asks: anew for what ends the own session, and for an agent that would act, which must not have read anything before. */
    async callerFor(role: RoleName, { row, effect }: Route, passes: boolean): Promise<Person> {
      const isSpent = row.asAnother || (role === 'agent of a run' && effect !== 'read')
      return passes && isSpent ? personWith(role) : callers[role].person
    },

    /** What the path names: something made for this call alone when the call uses it up. */
    async parametersOf({ row }: Route, tenant: TenantInMatrix, caller: Person, passes: boolean): Promise<Parameters> {
      if (!row.of) return row.given ?? {}
      const isTheirOwn = (row.of === 'session' || row.of === 'own account') && caller.userId !== ''
      if (isTheirOwn || (passes && row.spends)) return THINGS[row.of]({ world, tenant, caller: isTheirOwn ? caller : tenant.owner })
      return shared(row.of, tenant)
    },

    send(route: Route, caller: Omit<Person, 'token'> & { token?: string }, parameters: Parameters): Promise<Answer> {
      const { method, row, schema } = route
      const path = route.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parameters[name] ?? ''))
      const fields = schema ? (sample(schema as never, { skipNonRequired: true }, document as never) as object) : undefined
      const body = fields && { ...fields, ...row.body?.({ world, tenant: acme, caller: caller as Person }) }
      return world.call({ method, path: row.query ? `${path}?${row.query}` : path, token: caller.token, body })
    },

    /** Names of the same form that nothing has. */
    absentLike: (parameters: Parameters): Parameters =>
      Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, absentValue(value)])),

    /** An answer without what differs from one request to the next, and without the names that were asked for. */
    anonymous({ status, text }: Answer, parameters: Parameters): unknown {
      const own = text.replace(/"(traceId|instance)":"[^"]+"/g, '')
      return {
        status,
        text: Object.values(parameters).reduce((left, value) => left.replaceAll(new RegExp(`\\b${value}\\b`, 'g'), '…'), own),
      }
    },

    /** Once what a tenant itself began is over. */
    async settledRowsOf(tenant: string): Promise<Record<string, string>> {
      for (let rows = await rowsOf(world.sql, tenant); ; ) {
        await new Promise((resolve) => setTimeout(resolve, 300))
        const now = await rowsOf(world.sql, tenant)
        if (isDeepStrictEqual(rows, now)) return now
        rows = now
      }
    },
  }
}

const absent = randomUUID()
function absentValue(value: string): string {
  if (/^\d+$/.test(value)) return '999999'
  return /^\d+\.\d+\.\d+$/.test(value) ? '9.9.9' : `none-${absent}`.slice(0, 36)
}

function routesOf(document: { paths: Record<string, Record<string, Operation>> }): Route[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([verb, operation]): Route => {
      const method = verb.toUpperCase()
      const name = `${method} ${path}`
      return {
        name,
        method,
        path,
        capability: operation['x-soma-capability'],
        effect: operation['x-soma-effect'],
        isPublic: operation.security === undefined,
        schema: operation.requestBody?.content['application/json']?.schema,
        row: ROWS[name] ?? { allowed: 0 },
      }
    }),
  )
}
