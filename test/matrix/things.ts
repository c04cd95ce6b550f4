import { randomUUID } from 'node:crypto'
import type { Answer, MatrixWorld, Person } from './world.ts'

/** A tenant of the matrix, with the person who makes in it what others then ask for. */
export interface TenantInMatrix {
  name: string
  /** The platform's own key for it. */
  key: string
  owner: Person
  /** Puts in force what the owner proposes. */
  reviewer: Person
}

/** Values for the parameters of a path. */
export type Parameters = Record<string, string>

/** Where something is made, and for whom. */
export interface Place {
  world: MatrixWorld
  tenant: TenantInMatrix
  caller: Person
}

type Maker = (place: Place) => Promise<Parameters>

/** Everything of a tenant's own that a path can name. Each call makes another. */
export const THINGS = {
  run: async (place) => ({ id: await startRun(place) }),
  'ended run': async (place) => {
    const id = await startRun(place, 'matrix-short')
    await until(async () => (await read(place, `/v1/runs/${id}`)).body.status !== 'running')
    return { id }
  },
  approval: async (place) => {
    const run = await startRun(place)
    const asked = async () => (await read(place, `/v1/approvals?run=${run}`)).body.items[0]?.id as string | undefined
    await until(async () => (await asked()) !== undefined)
    return { id: (await asked()) as string }
  },
  project: async (place) => {
    const { body } = await make(place, '/v1/projects', { name: 'matrix', brief: '', plan: PLAN, inputs: {} })
    await until(async () => ['done', 'waiting'].includes((await read(place, `/v1/projects/${body.id}`)).body.status))
    return { id: body.id, deliverable: 'stopped' }
  },
  delegation: async (place) => {
    // One has one delegate at a time, so each has a day of its own.
    const startsAt = new Date(Date.now() + ++days * 86_400_000)
    const endsAt = new Date(startsAt.getTime() + 3_600_000)
    const times = { startsAt: startsAt.toISOString(), endsAt: endsAt.toISOString() }
    return { id: (await make(place, '/v1/approval-delegations', { to: `user:${randomUUID()}`, reason: 'away', ...times })).body.id }
  },
  user: async ({ world, tenant }) => ({ id: (await world.newPerson(tenant.key, 'viewer')).userId }),
  invitation: async (place) => {
    const { body } = await make(place, '/v1/invitations', { email: `${randomUUID()}@example.org`, roles: ['viewer'] })
    return { id: body.invitation.id }
  },
  account: async (place) => {
    const id = `robot-${randomUUID().slice(0, 8)}`
    await make(place, '/v1/service-accounts', { id, summary: 'A robot', roles: ['viewer'] })
    return { id }
  },
  key: async (place) => ({ id: (await make(place, '/v1/api-keys', { name: 'matrix', capabilities: ['me.read'] })).body.record.id }),
  role: async ({ world, tenant }) => {
    const name = `role-${randomUUID().slice(0, 8)}`
    const body = { summary: 'A role', capabilities: ['me.read'] }
    done(await world.call({ method: 'PUT', path: `/v1/roles/${name}`, token: tenant.owner.token, body }))
    return { name }
  },
  hold: async (place) => ({ id: (await make(place, '/v1/audit/holds', { streams: ['nothing/'], reason: 'held' })).body.id }),
  switch: async (place) => ({ id: (await make(place, '/v1/kill-switches', NOTHING_STOPPED)).body.id }),
  webhook: async (place) => ({
    id: (await make(place, '/v1/webhooks', { url: 'https://example.org/hook', events: ['approval.used'] })).body.webhook.id,
  }),
  capsule: async (place) => {
    const [name, version] = [`of-${place.tenant.name}`, `1.0.${++versions}`]
    await make(place, '/v1/capsules', capsuleOf(name, version))
    await make(place, `/v1/capsules/${name}/${version}/sign`, {})
    return { name, version }
  },
  proposal: async (place) => ({ id: await propose(place) }),
  /** Versions count within a tenant, so the one that the others ask for is one that they do not have themselves. */
  version: async (place) => {
    const { tenant, world } = place
    for (;;) {
      const path = `/v1/constitution/proposals/${await propose(place)}/publish`
      const { version } = done(await world.call({ method: 'POST', path, token: tenant.reviewer.token, body: {} })).body
      if (tenant.name === 'acme' || version > MOST_VERSIONS) return { version: String(version) }
    }
  },
  tenant: async ({ tenant }) => ({ tenant: tenant.name }),
  /** Another session of whoever asks. */
  session: async ({ world, tenant, caller }) => {
    const path = '/v1/auth/sign-in'
    const answer = await world.call({ method: 'POST', path, body: { tenant: tenant.name, email: caller.email, password: world.password } })
    return { id: done(answer).body.sessionId }
  },
  /** The account of whoever asks. */
  'own account': async ({ caller }) => ({ id: caller.userId }),
} as const satisfies Record<string, Maker>
export type Thing = keyof typeof THINGS

/** More than the callers of the matrix put in force. */
const MOST_VERSIONS = 9

let days = 0
let versions = 0

export const NOTHING_STOPPED = { scope: 'tool', target: 'nothing.at.all', reason: 'a test' }
const ASK = [{ id: 'ask', approval: { message: 'Go on?' } }]
const VALUE = [{ id: 'one', value: 1 }]
const PLAN = {
  apiVersion: 'soma.dev/v1',
  kind: 'Plan',
  metadata: { name: 'matrix', summary: 'One is made, and one is stopped by policy' },
  deliverables: [
    { id: 'made', title: 'Made', persona: 'a.v1', tools: [], budget_tokens: 0, capsule: 'matrix-short@1.0.0' },
    {
      ...{ id: 'stopped', title: 'Stopped', persona: 'a.v1', tools: [], budget_tokens: 0, capsule: 'matrix-short@1.0.0' },
      ...{ effect: 'destructive', resource: { kind: 'repository' } },
    },
  ],
}

export function capsuleOf(name: string, version: string, steps: object[] = VALUE) {
  const metadata = { name, version, summary: 'Of the matrix' }
  const permissions = { tools: ['files.write'] }
  return { yaml: JSON.stringify({ apiVersion: 'soma.dev/v1', kind: 'Capsule', metadata, permissions, outputs: { value: 1 }, steps }) }
}

export function proposalOf(number: number) {
  const rules = [{ id: `rule-${number}`, says: 'Nobody may do what nobody does.', applies: { actions: ['nothing.ever'] }, decide: 'deny' }]
  const yaml = JSON.stringify({
    apiVersion: 'soma.dev/v1',
    kind: 'Constitution',
    metadata: { name: 'matrix', version: `1.0.${number}` },
    rules,
  })
  return { yaml, note: 'a test' }
}

/** Capsules that runs and projects of the matrix are made of. */
export async function prepare(world: MatrixWorld, tenant: TenantInMatrix): Promise<void> {
  const place = { world, tenant, caller: tenant.owner }
  done(await world.call({ method: 'PATCH', path: '/v1/tenant', token: tenant.owner.token, body: { name: tenant.name } }))
  for (const [name, steps] of [
    ['matrix-waiting', ASK],
    ['matrix-short', VALUE],
  ] as const) {
    await make(place, '/v1/capsules', capsuleOf(name, '1.0.0', [...steps]))
    await make(place, `/v1/capsules/${name}/1.0.0/sign`, {})
  }
}

async function propose(place: Place): Promise<string> {
  return (await make(place, '/v1/constitution/proposals', proposalOf(++versions))).body.id
}

export async function startRun(place: Place, capsule = 'matrix-waiting'): Promise<string> {
  return (await make(place, '/v1/runs', { capsule, version: '1.0.0' })).body.runId
}

async function make({ world, tenant }: Place, path: string, body: object): Promise<Answer> {
  return done(await world.call({ method: 'POST', path, token: tenant.owner.token, body }))
}

const read = ({ world, tenant }: Place, path: string) => world.call({ method: 'GET', path, token: tenant.owner.token })

function done(answer: Answer): Answer {
  if (answer.status < 300) return answer
  throw new Error(`What the matrix needs was refused: ${answer.status} ${answer.text}`)
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('What the matrix waits for did not happen in 20 s.')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
