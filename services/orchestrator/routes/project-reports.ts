import { SomaError } from '@soma/contracts/errors'
import type { Approvals } from '@soma/kernel/approvals/approvals'
import { sendJsonLines } from '@soma/kernel/http/json-lines'
import type { ServiceApp } from '@soma/kernel/http/service'
import type { Ledger } from '@soma/kernel/ledger/ledger'
import type { Journal } from '@soma/ports/journal/port'
import { tailAll } from '@soma/ports/journal/tail-all'
import type { Objects } from '@soma/ports/objects/port'
import type { Workflows } from '@soma/ports/workflows/port'
import { z } from 'zod'
import { viewProject } from '../project-view.ts'

const MEDIA_TYPES = { html: 'text/html; charset=utf-8', json: 'application/json' } as const

interface Parts {
  workflows: Workflows
  objects: Objects
  journal: Journal
  ledger: Ledger
  approvals: Approvals
}

export function projectReportRoutes(app: ServiceApp, { workflows, objects, journal, ledger, approvals }: Parts): void {
  app.get(
    '/v1/projects/:id/report',
    {
      config: { action: { name: 'http.reports.read', capability: 'project.read', effect: 'read' } },
      schema: {
        summary: 'The report: a page for people, or its JSON twin',
        params: z.object({ id: z.string() }),
        querystring: z.object({ format: z.enum(['html', 'json']).default('html') }),
      },
    },
    async (request, reply) => {
      const { tenant } = request.principal
      const { format } = request.query
      const project = await viewProject(workflows, tenant, request.params.id)
      const digest = project.report?.[format]
      if (!digest)
        throw new SomaError('not_found', `Project ${project.id} has no report yet; it is ${project.status}.`, { status: project.status })
      return reply
        .type(MEDIA_TYPES[format])
        .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:")
        .send(Buffer.from(await objects.get(tenant, digest)))
    },
  )

  app.get(
    '/v1/projects/:id/evidence',
    {
      config: { action: { name: 'http.evidence.read', capability: 'audit.read', effect: 'read' } },
      schema: {
        summary: 'Every decision and effect of a project as JSON lines, verifiable offline with "soma audit verify"',
        params: z.object({ id: z.string() }),
      },
    },
    async (request, reply) => {
      const { tenant } = request.principal
      const { id } = await viewProject(workflows, tenant, request.params.id)
      await ledger.checkpoint(tenant)
      const asked = await approvals.list(tenant, { project: id, limit: 1000 })
      const streams = [...(await streamsOf(journal, tenant, id)), ...asked.map((approval) => `approval/${approval.id}`)]
      return sendJsonLines(reply, ledger.exportStreams(tenant, streams))
    },
  )
}

/** Streams of a project's runs and of their actions; runs are named after the project. */
async function streamsOf(journal: Journal, tenant: string, project: string): Promise<string[]> {
  const streams = new Set<string>()
  for (const streamPrefix of [`run/${project}`, `action/run/${project}`]) {
    for await (const entry of tailAll(journal, { tenant, streamPrefix, limit: 5000 })) streams.add(entry.stream)
  }
  return [...streams]
}
