import { expect } from 'vitest'
import type { Answer, IsolationWorld, TenantUnderTest } from './world.ts'

/** Something that a tenant does, under a name or key that the other uses as well. */
type Operation = (world: IsolationWorld, tenant: TenantUnderTest, number: number) => Promise<unknown>

const OTHERS_KEY = (number: number) => ({ 'idempotency-key': `same-key-${number}` })

/** What is refused leaves no trace that could be looked for. `conflict`: it is there from an earlier turn. */
async function done(answering: Promise<Answer>, ...allowed: string[]): Promise<Answer> {
  const answer = await answering
  if (answer.status < 300 || allowed.includes(String(answer.body.code))) return answer
  throw new Error(`It was refused: ${answer.status} ${answer.text}`)
}

/** Remembers what was made, so that it can be looked for, by its owner and by the other. */
function remember(tenant: TenantUnderTest, collection: string, answer: Answer, id: unknown): void {
  if (typeof id !== 'string') throw new Error(`One of ${collection} has no id where it is expected: ${answer.text}`)
  tenant.ids.set(collection, [...(tenant.ids.get(collection) ?? []), id])
}

const capsuleOf = (version: string, mark: string, steps: object[]) => ({
  yaml: JSON.stringify({
    apiVersion: 'soma.dev/v1',
    kind: 'Capsule',
    metadata: { name: 'notes', version, summary: `Says ${mark}` },
    outputs: { value: { said: mark } },
    steps,
  }),
})

async function runCapsule({ call, ...tenant }: TenantUnderTest, version: string, steps: object[], number: number): Promise<string> {
  await done(call('POST', '/v1/capsules', capsuleOf(version, tenant.mark, steps)))
  await done(call('POST', `/v1/capsules/notes/${version}/sign`))
  const run = await done(call('POST', '/v1/runs', { capsule: 'notes', version, inputs: {} }, OTHERS_KEY(number)))
  remember({ call, ...tenant }, 'runs', run, run.body.runId)
  return String(run.body.runId)
}

/** What the two tenants do at once. Names, keys and ids are the same wherever a tenant may choose them. */
export const OPERATIONS = {
  'run a capsule': (_, tenant, number) => runCapsule(tenant, '1.0.0', [{ id: 'say', value: { text: tenant.mark } }], number),
  'run a capsule that waits for approval': async (_, tenant, number) => {
    const step = { id: 'ask', approval: { message: `May ${tenant.mark} go on?` } }
    const run = await runCapsule(tenant, '2.0.0', [step], 1000 + number)
    const asked = async () => (await done(tenant.call('GET', '/v1/approvals?limit=200'))).body.items as { id: string; run: string }[]
    await expect.poll(async () => (await asked()).map((approval) => approval.run)).toContain(run)
    tenant.ids.set(
      'approvals',
      (await asked()).map(({ id }) => id),
    )
  },
  'start a project': async (_, { call, ...tenant }, number) => {
    await done(call('POST', '/v1/capsules', capsuleOf('1.0.0', tenant.mark, [{ id: 'say', value: { text: tenant.mark } }])))
    await done(call('POST', '/v1/capsules/notes/1.0.0/sign'))
    const deliverable = { id: 'note', title: tenant.mark, persona: 'writer.v1', tools: [], budget_tokens: 0, capsule: 'notes@1.0.0' }
    const plan = {
      apiVersion: 'soma.dev/v1',
      kind: 'Plan',
      metadata: { name: 'plan', summary: tenant.mark },
      deliverables: [deliverable],
    }
    const project = await done(call('POST', '/v1/projects', { name: tenant.mark, brief: tenant.mark, plan }, OTHERS_KEY(2000 + number)))
    remember({ call, ...tenant }, 'projects', project, project.body.id)
  },
  'call a tool': async (_, { call, mark }) => {
    await done(call('POST', '/v1/operations/files.write/execute', { input: { path: 'note.txt', content: mark } }))
    await done(call('POST', '/v1/operations/files.read/execute', { input: { path: 'note.txt' } }))
  },
  'make a key': async (_, tenant) => {
    const made = await done(tenant.call('POST', '/v1/api-keys', { name: tenant.mark, capabilities: ['me.read'] }))
    remember(tenant, 'api-keys', made, (made.body.record as { id?: string } | undefined)?.id)
  },
  'make a role and an account': async (_, { call, mark }) => {
    await done(call('PUT', '/v1/roles/helper', { summary: mark, capabilities: ['me.read'] }))
    await done(call('POST', '/v1/service-accounts', { id: 'robot', summary: mark, roles: ['helper'] }), 'conflict')
  },
  'invite a person': async (_, tenant, number) => {
    const invited = await done(tenant.call('POST', '/v1/invitations', { email: `${tenant.mark}.${number}@example.org`, roles: ['viewer'] }))
    remember(tenant, 'invitations', invited, (invited.body.invitation as { id?: string } | undefined)?.id)
  },
  'name the tenant': (_, { call, mark }) => done(call('PATCH', '/v1/tenant', { name: mark })),
  'pull a kill switch': async (_, tenant) => {
    const pulled = await done(
      tenant.call('POST', '/v1/kill-switches', { scope: 'tool', target: `nothing.${tenant.mark}`, reason: tenant.mark }),
    )
    remember(tenant, 'kill-switches', pulled, pulled.body.id)
  },
  'limit what may be used': async ({ budgets }, { call, name }, number) => {
    await done(call('PUT', '/v1/budgets/tenant', { calls: 1_000_000_000 + number }))
    await budgets.reserve({ tenant: name, key: 'same', budgets: [`tenant/${name}`], amount: { calls: 1 } })
    await budgets.settle({ tenant: name, key: 'same', actual: { calls: 1 } })
  },
  'hold and prove the ledger': async (_, tenant) => {
    const held = await done(tenant.call('POST', '/v1/audit/holds', { streams: ['run/'], reason: tenant.mark }))
    remember(tenant, 'audit/holds', held, held.body.id)
    await done(tenant.call('POST', '/v1/audit/checkpoints'))
  },
  'keep a secret': ({ secrets }, { name, mark }) => secrets.write(name, 'vendor/token', mark),
  'keep an object': ({ objects }, { name, mark }) => objects.put(name, Buffer.from(mark), 'text/plain'),
  'keep something in the cache': async ({ cache }, { name, mark }) => {
    await cache.set(name, 'session', { mark }, 60_000)
    await cache.increment(name, 'session', 1, 60_000)
  },
  'keep a vector': async ({ vectors }, { name, mark }) => {
    await vectors.ensureCollection(name, 'notes', { dimensions: 2 })
    await vectors.upsert(name, 'notes', [{ id: 'same', vector: [1, 1], text: `note ${mark}`, metadata: { mark } }])
  },
  'publish an event': ({ events }, { name, mark }, number) =>
    events.publish('notes', [
      {
        specversion: '1.0',
        id: `same-${number}`,
        source: 'test',
        type: 'note',
        time: new Date().toISOString(),
        datacontenttype: 'application/json',
        partitionkey: name,
        data: { mark },
      },
    ]),
  'append to the journal': ({ journal }, { name, mark }) =>
    journal.append({ tenant: name, stream: 'same/stream', expectedSeq: 'any', entries: [{ kind: 'note', payload: { mark } }] }),
} as const satisfies Record<string, Operation>

export const OPERATION_NAMES = Object.keys(OPERATIONS) as (keyof typeof OPERATIONS)[]
