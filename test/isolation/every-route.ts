import { expect } from 'vitest'
import type { Answer, IsolationWorld, TenantUnderTest } from './world.ts'

interface Route {
  method: string
  /** `/v1/runs/{id}` */
  path: string
}

/** Every operation of the OpenAPI document, as the running server says it. */
export async function routesOf({ url }: IsolationWorld): Promise<Route[]> {
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> }
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  )
}

/** Streams that never end by themselves are listened to elsewhere. */
const ENDLESS = /\/events$/
/** What a parameter stands for when it is no id of something that the tenants make. */
const GIVEN: Record<string, string[]> = {
  name: ['notes', 'helper', 'robot', 'repository-health'],
  version: ['1.0.0', '2.0.0'],
  operation: ['files.read'],
  code: ['not_found'],
  deliverable: ['note'],
}

/** The path with each of its parameters filled, from what these tenants made; none when nobody made such a thing. */
function filled(path: string, owners: readonly TenantUnderTest[]): string[] {
  const parameter = /\{(\w+)\}/.exec(path)
  if (!parameter) return [path]
  const collection = /^\/v1\/(.+?)\/\{/.exec(path)?.[1] ?? ''
  const values =
    parameter[1] === 'tenant'
      ? owners.map(({ name }) => name)
      : (GIVEN[parameter[1] as string] ?? owners.flatMap(({ ids }) => ids.get(collection) ?? []))
  return values.flatMap((value) => filled(path.replace(parameter[0], encodeURIComponent(value)), owners))
}

/** Everything that a tenant gets to read, asking for its own and for the other's. */
export async function readEverything(
  routes: readonly Route[],
  reader: TenantUnderTest,
  other: TenantUnderTest,
): Promise<{ path: string; answer: Answer }[]> {
  const paths = routes
    .filter(({ method, path }) => method === 'GET' && !ENDLESS.test(path))
    .flatMap(({ path }) => filled(path, [reader, other]))
  return Promise.all(paths.map(async (path) => ({ path, answer: await reader.call('GET', path) })))
}

/** Bodies that get past the check of their form, so that what refuses is whose it is. */
const BODIES: [RegExp, object][] = [
  [/\/approvals\/[^/]+$/, { approve: true, reason: 'forged' }],
  [/\/requeue\/[^/]+\/resolve$/, { resolution: 'skip', reason: 'forged' }],
  [/\/(cancel|lift)$/, { reason: 'forged' }],
]

/** Every change that names something, tried on what the other made. Each must be refused. */
export async function touchEverything(routes: readonly Route[], intruder: TenantUnderTest, victim: TenantUnderTest): Promise<number> {
  const changes = routes
    .filter(({ method, path }) => method !== 'GET' && /\{id\}/.test(path))
    .flatMap(({ method, path }) => filled(path, [victim]).map((each) => ({ method, path: each })))
  for (const { method, path } of changes) {
    const body = method === 'DELETE' ? undefined : (BODIES.find(([pattern]) => pattern.test(path))?.[1] ?? {})
    const { status, text } = await intruder.call(method, path, body)
    expect([400, 403, 404, 409, 410], `${method} ${path}: ${text}`).toContain(status)
  }
  return changes.length
}
