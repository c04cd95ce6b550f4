import { SomaError } from '@soma/contracts/errors'
import { Plan, Project } from '@soma/contracts/project'
import type { ProjectRunInput, ProjectWord } from '@soma/contracts/project-run'
import { actingFor } from '@soma/kernel/auth/run-tokens'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import type { Workflows } from '@soma/ports/workflows/port'
import { z } from 'zod'
import { PROJECT_WORKFLOW, viewProject } from '../project-view.ts'
import { newRunId } from '../run-id.ts'

const Id = z.object({ id: z.string() })
const Summary = Project.pick({ id: true, name: true, status: true, createdAt: true, endedAt: true })

export function projectRoutes(app: ServiceApp, { workflows }: { workflows: Workflows }): void {
  app.post(
    '/v1/projects',
    {
      config: { action: { name: 'http.projects.create', capability: 'project.create', effect: 'write' } },
      schema: {
        summary: 'Start a project from a plan template or a plan of your own',
        body: z.strictObject({
          name: z.string().min(1).max(200).optional(),
          brief: z.string().max(20_000).default(''),
          template: z.string().optional().describe('Name of a plan template'),
          plan: Plan.optional().describe('A whole plan, instead of a template'),
          inputs: z.record(z.string(), z.unknown()).default({}),
          maxRevisions: z.number().int().min(0).max(5).default(1),
        }),
        response: { 201: Project },
      },
    },
    async (request, reply) => {
      const { name, brief, template, plan, inputs, maxRevisions } = request.body
      if ((template === undefined) === (plan === undefined))
        throw new SomaError('invalid_input', 'Name a template or supply a plan, one of the two.')
      const { principal } = request
      const source = plan ? { plan } : { template: template as string }
      const id = newRunId('prj', principal.tenant, request.idempotencyKey)
      const input: ProjectRunInput = {
        id,
        tenant: principal.tenant,
        name: name ?? template ?? plan?.metadata.name ?? id,
        brief,
        source,
        inputs,
        principal: actingFor(principal),
        maxRevisions,
      }
      await workflows.startRun({ workflow: PROJECT_WORKFLOW, runId: id, tenant: principal.tenant, input })
      return reply.code(201).send(await viewProject(workflows, principal.tenant, id))
    },
  )

  app.get(
    '/v1/projects',
    {
      config: { action: { name: 'http.projects.list', capability: 'project.read', effect: 'read' } },
      schema: { summary: 'Projects, newest first', querystring: PageQuery, response: { 200: page(Summary) } },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const after = cursor ? decodeCursor(cursor, z.string()) : undefined
      const rows = await workflows.list({ tenant: request.principal.tenant, workflow: PROJECT_WORKFLOW, after, limit: limit + 1 })
      const projects = await Promise.all(rows.map(({ runId }) => viewProject(workflows, request.principal.tenant, runId)))
      return pageOf(projects, limit, { item: (project) => project, position: ({ id }) => id })
    },
  )

  app.get(
    '/v1/projects/:id',
    {
      config: { action: { name: 'http.projects.read', capability: 'project.read', effect: 'read' } },
      schema: { summary: 'A project: its deliverables, budget, review and report', params: Id, response: { 200: Project } },
    },
    (request) => viewProject(workflows, request.principal.tenant, request.params.id),
  )

  app.post(
    '/v1/projects/:id/cancel',
    {
      config: { action: { name: 'http.projects.cancel', capability: 'project.cancel', effect: 'write' } },
      schema: {
        summary: 'Cancel a project and everything that runs for it',
        params: Id,
        body: z.strictObject({ reason: z.string().max(1000).optional() }).default({}),
        response: { 202: Project },
      },
    },
    async (request, reply) => {
      const { tenant } = request.principal
      const { id } = request.params
      await viewProject(workflows, tenant, id)
      await workflows.cancel({ tenant, runId: id, reason: request.body.reason })
      return reply.code(202).send(await viewProject(workflows, tenant, id))
    },
  )

  app.get(
    '/v1/projects/:id/requeue',
    {
      config: { action: { name: 'http.requeue.list', capability: 'project.read', effect: 'read' } },
      schema: {
        summary: 'Deliverables that policy blocked, kept until policy or a person says otherwise',
        params: Id,
        response: { 200: z.object({ items: Project.shape.deliverables }) },
      },
    },
    async (request) => {
      const project = await viewProject(workflows, request.principal.tenant, request.params.id)
      return { items: project.deliverables.filter(({ status }) => status === 'blocked') }
    },
  )

  app.post(
    '/v1/projects/:id/requeue/:deliverable/resolve',
    {
      config: { action: { name: 'http.requeue.resolve', capability: 'project.resolve', effect: 'write' } },
      schema: {
        summary: 'Have policy asked again about a blocked deliverable, or drop it',
        params: z.object({ id: z.string(), deliverable: z.string() }),
        body: z.strictObject({ resolution: z.enum(['retry', 'drop']), reason: z.string().max(1000).optional() }),
        response: { 202: Project },
      },
    },
    async (request, reply) => {
      const { id, deliverable } = request.params
      const { tenant, id: by } = request.principal
      const project = await viewProject(workflows, tenant, id)
      const state = project.deliverables.find((each) => each.id === deliverable)
      if (state?.status !== 'blocked')
        throw new SomaError(
          state ? 'conflict' : 'not_found',
          state ? `Deliverable "${deliverable}" is ${state.status}, not blocked.` : `The project has no deliverable "${deliverable}".`,
        )
      const word: ProjectWord = { kind: 'resolve', deliverable, by, ...request.body }
      await workflows.signal({ tenant, runId: id, name: 'word', payload: word })
      return reply.code(202).send(await viewProject(workflows, tenant, id))
    },
  )
}
