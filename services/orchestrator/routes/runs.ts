import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { capsuleDigest } from '@soma/capsule/digest'
import { Capsule, CapsuleName, SemVer, type StoredCapsule } from '@soma/contracts/capsule'
import type { CapsuleRunInput } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import { JournalEntry } from '@soma/contracts/journal'
import { Label } from '@soma/contracts/labels'
import { RUN_STATUSES } from '@soma/contracts/workflow'
import { actingFor } from '@soma/kernel/auth/run-tokens'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { Needs, ServiceApp, ServiceContext } from '@soma/kernel/http/service'
import { bodyOf } from '@soma/kernel/platform/internal-fetch'
import { z } from 'zod'
import { replayRun } from '../replay-run.ts'
import { newRunId } from '../run-id.ts'

const Run = z.object({
  runId: z.string(),
  tenant: z.string(),
  workflow: z.string(),
  status: z.enum(RUN_STATUSES),
  startedAt: z.string(),
  endedAt: z.string().optional(),
  parent: z.string().optional(),
  output: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
})

const Departure = z.object({ step: z.number().int(), label: z.string().optional(), expected: z.string(), got: z.string() })
const Replay = z.object({
  same: z.boolean().describe('True when nothing departed from the record and the result is the recorded one'),
  runs: z.array(
    z.object({
      runId: z.string(),
      workflow: z.string(),
      matched: z.number().int().describe('Steps that matched the record'),
      same: z.boolean(),
      departure: Departure.optional(),
    }),
  ),
  output: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
})

const Id = z.object({ id: z.string() })

export function runRoutes(
  app: ServiceApp,
  { workflows, budgets, folder, fetchAs }: ServiceContext & Pick<Needs, 'workflows' | 'budgets'>,
): void {
  app.post(
    '/v1/runs',
    {
      config: { action: { name: 'http.runs.create', capability: 'capsule.run', effect: 'write' } },
      schema: {
        summary: 'Run a signed capsule',
        body: z.strictObject({
          capsule: CapsuleName,
          version: SemVer,
          inputs: z.record(z.string(), z.unknown()).default({}),
          labels: z.array(Label).max(50).default([]).describe('What is known of the inputs: secret, personal, untrusted.web'),
        }),
        response: { 201: Run },
      },
    },
    async (request, reply) => {
      const { principal, body } = request
      const { tenant } = principal
      const { capsule, digest } = await bodyOf<StoredCapsule>(fetchAs(principal)(`/v1/capsules/${body.capsule}/${body.version}/verified`))
      const runId = newRunId('run', tenant, request.idempotencyKey)
      const workspace = join(await folder('workspaces'), tenant, runId)
      await mkdir(workspace, { recursive: true })
      await budgets.open(tenant, `run/${runId}`, capsule.budget)
      const input: CapsuleRunInput = {
        ...{ capsule, digest, inputs: body.inputs, labels: body.labels, workspace },
        principal: actingFor(principal),
        budgets: [`run/${runId}`],
      }
      return reply.code(201).send(await workflows.startRun({ workflow: 'capsule', runId, tenant, input }))
    },
  )

  app.get(
    '/v1/runs',
    {
      config: { action: { name: 'http.runs.list', capability: 'run.read', effect: 'read' } },
      schema: {
        summary: 'Runs, newest first',
        querystring: PageQuery.extend({ workflow: z.string().optional(), status: z.enum(RUN_STATUSES).optional() }),
        response: { 200: page(Run) },
      },
    },
    async (request) => {
      const { limit, cursor, workflow, status } = request.query
      const after = cursor ? decodeCursor(cursor, z.string()) : undefined
      const rows = await workflows.list({ tenant: request.principal.tenant, workflow, status, after, limit: limit + 1 })
      return pageOf(rows, limit, { item: (row) => row, position: ({ runId }) => runId })
    },
  )

  app.get(
    '/v1/runs/:id',
    {
      config: { action: { name: 'http.runs.read', capability: 'run.read', effect: 'read' } },
      schema: {
        summary: 'A run, with what it shows of itself',
        params: Id,
        response: { 200: Run.extend({ state: z.unknown().optional() }) },
      },
    },
    async (request) => {
      const key = { tenant: request.principal.tenant, runId: request.params.id }
      const run = await workflows.describe(key)
      if (!run) throw new SomaError('not_found', `There is no run ${request.params.id}.`)
      return { ...run, state: await workflows.query(key) }
    },
  )

  app.get(
    '/v1/runs/:id/history',
    {
      config: { action: { name: 'http.runs.history', capability: 'run.read', effect: 'read' } },
      schema: { summary: 'The record of a run, oldest first', params: Id, querystring: PageQuery, response: { 200: page(JournalEntry) } },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const entries = await workflows.history({ tenant: request.principal.tenant, runId: request.params.id })
      const start = cursor ? decodeCursor(cursor, z.number().int().min(0)) : 0
      return pageOf(entries.slice(start, start + limit + 1), limit, { item: (entry) => entry, position: ({ seq }) => seq })
    },
  )

  app.post(
    '/v1/runs/:id/cancel',
    {
      config: { action: { name: 'http.runs.cancel', capability: 'run.cancel', effect: 'write' } },
      schema: {
        summary: 'Cancel a run',
        params: Id,
        body: z.strictObject({ reason: z.string().max(1000).optional() }).default({}),
        response: { 202: Run },
      },
    },
    async (request, reply) => {
      const key = { tenant: request.principal.tenant, runId: request.params.id }
      await workflows.cancel({ ...key, reason: request.body.reason })
      const run = await workflows.describe(key)
      if (!run) throw new SomaError('not_found', `There is no run ${request.params.id}.`)
      return reply.code(202).send(run)
    },
  )

  app.post(
    '/v1/runs/:id/replay',
    {
      config: { action: { name: 'http.runs.replay', capability: 'run.read', effect: 'read' } },
      schema: {
        summary: 'Replay a run from its record, without touching the world; with another capsule, see where that one departs',
        params: Id,
        body: z.strictObject({ capsule: Capsule.optional() }).default({}),
        response: { 200: Replay },
      },
    },
    async (request) => {
      const { capsule } = request.body
      const changed = capsule && { capsule, digest: capsuleDigest(capsule) }
      return replayRun(workflows, request.principal.tenant, request.params.id, changed)
    },
  )
}
