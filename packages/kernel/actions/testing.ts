import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { adapter, type Operation, type OperationContext, operation } from '@soma/contracts/operation'
import { openFileSystemObjects } from '@soma/ports/objects/file-system'
import { z } from 'zod'
import { openApprovals } from '../approvals/approvals.ts'
import { openBudgets } from '../budgets/budgets.ts'
import { createEgress } from '../egress/egress.ts'
import type { PolicySource } from '../gate/gate.ts'
import { openTestGate, person } from '../gate/testing.ts'
import type { ActionRequest } from './action-request.ts'
import { createOperations } from './operations.ts'
import { createActions } from './perform-action.ts'

/** The world outside, as a vendor keeps it: what was made under which key, and how often it was called. */
export interface Vendor {
  made: { key: string; text: string }[]
  calls: string[]
  /** Happens in every call, before its effect. */
  before(signal: AbortSignal): Promise<void>
  /** Happens in every call, after its effect. */
  after(signal: AbortSignal): Promise<void>
}

const nothing = async () => undefined

/** An adapter on such a vendor, with an operation of each kind. */
export function createDemo() {
  const vendor: Vendor = { made: [], calls: [], before: nothing, after: nothing }
  const input = z.strictObject({ text: z.string(), times: z.number().default(1) })
  const output = z.object({ made: z.string() })
  type Input = z.output<typeof input>

  const write = (
    name: string,
    more: Pick<Operation<Input, { made: string }, Vendor>, 'idempotency'> & Partial<Operation<Input, { made: string }, Vendor>>,
  ) =>
    operation<Input, { made: string }, Vendor>({
      name,
      summary: 'Make something',
      input,
      output,
      effect: 'write',
      capability: 'tool.demo.write',
      async run({ text }, { client, key, signal }) {
        client.calls.push(name)
        await client.before(signal)
        const isKnown = name.endsWith('native') && client.made.some((each) => each.key === key)
        if (!isKnown) client.made.push({ key, text })
        await client.after(signal)
        return { made: text }
      },
      ...more,
    })

  const byKey = async (_: Input, { client, key }: OperationContext<Vendor>) => {
    client.calls.push('find')
    const found = client.made.find((each) => each.key === key)
    return found && { made: found.text }
  }

  const demo = adapter<Vendor>({
    name: 'demo',
    title: 'Demo',
    summary: 'A vendor for tests',
    connect: async () => vendor,
    health: async () => ({ ok: true, detail: '' }),
    operations: [
      write('demo.native', { idempotency: { kind: 'native' } }),
      write('demo.marker', { idempotency: { kind: 'marker', find: byKey } }),
      write('demo.endable', { idempotency: { kind: 'marker', find: byKey }, canBeEnded: true }),
      write('demo.none', { idempotency: { kind: 'none' } }),
      write('forbidden.none', { idempotency: { kind: 'none' } }),
      write('asked.none', { idempotency: { kind: 'none' } }),
      write('demo.quick', { idempotency: { kind: 'none' }, timeoutSeconds: 0.05 }),
      write('demo.outside', { idempotency: { kind: 'read' }, effect: 'read', untrustedOutput: true }),
      write('demo.triable', { idempotency: { kind: 'none' }, dryRun: async ({ text }) => ({ made: `would be ${text}` }) }),
      write('demo.read', { idempotency: { kind: 'read' }, effect: 'read' }),
      write('demo.shapeless', { idempotency: { kind: 'none' }, run: async () => ({ other: 1 }) as unknown as { made: string } }),
      write('demo.refused', {
        idempotency: { kind: 'none' },
        async run(_, { client }) {
          client.calls.push('demo.refused')
          throw new SomaError('tool_failed', 'The vendor refused: no such project.', { happened: false, retryable: false })
        },
      }),
    ],
  })
  return { demo, vendor }
}

/** The whole road on a real database, journal and policy. */
export async function openTestActions(options: { source?: PolicySource } = {}) {
  const world = await openTestGate(options)
  const { sql, journal, gate, kill } = world
  const { demo, vendor } = createDemo()
  const directory = await mkdtemp(join(tmpdir(), 'soma-actions-'))
  const objects = await openFileSystemObjects({ directory })
  const egress = createEgress({ maxBytes: 1_000_000, timeoutMilliseconds: 1000, maxRedirects: 0, allowPrivate: [] })
  const budgets = await openBudgets(sql)
  const approvals = await openApprovals({
    sql,
    journal,
    broadcast: world.broadcast,
    people: { in: async () => ({ behind: (id) => id, capabilitiesOf: () => undefined, isAlone: () => false }) },
    expiresAfterSeconds: 3600,
  })
  const operations = createOperations([demo])
  const parts = { operations, gate, kill, budgets, approvals, journal, objects, egress }
  return {
    ...world,
    vendor,
    budgets,
    approvals,
    performAction: createActions(parts),
    /** As a process has it that was started after a crash: it knows nothing but what is in the database. */
    restarted: () => createActions(parts),
    async close() {
      await egress.close()
      await objects.close()
      await rm(directory, { recursive: true })
      await world.close()
    },
  }
}

let keys = 0
/** A call with a key of its own, unless it is given one. */
export function call(operation: string, more: Partial<ActionRequest> = {}): ActionRequest {
  return {
    operation,
    input: { text: 'x' },
    principal: person(),
    key: `run/r1:step-${keys++}`,
    mayExist: false,
    context: {},
    budgets: [],
    workspace: '/srv/space',
    signal: new AbortController().signal,
    ...more,
  }
}
