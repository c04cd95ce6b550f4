import type { ApprovalAnswer } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { ProjectWord } from '@soma/contracts/project-run'
import { Approval, type Approvals, DELIVERABLE_START } from '@soma/kernel/approvals/approvals'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import type { Workflows } from '@soma/ports/workflows/port'
import { z } from 'zod'

export function approvalRoutes(app: ServiceApp, { approvals, workflows }: { approvals: Approvals; workflows: Workflows }): void {
  app.get(
    '/v1/approvals',
    {
      config: { action: { name: 'http.approvals.list', capability: 'approval.read', effect: 'read' } },
      schema: {
        summary: 'What waits for a person, and what was decided',
        querystring: PageQuery.extend({ status: z.enum(['pending', 'approved', 'rejected']).optional(), project: z.string().optional() }),
        response: { 200: page(Approval) },
      },
    },
    async (request) => {
      const { limit, cursor, status, project } = request.query
      const after = cursor ? decodeCursor(cursor, z.string()) : undefined
      const rows = await approvals.list(request.principal.tenant, { status, project, after, limit: limit + 1 })
      return pageOf(rows, limit, { item: (row) => row, position: ({ id }) => id })
    },
  )

  app.post(
    '/v1/approvals/:id',
    {
      config: { action: { name: 'http.approvals.decide', capability: 'approval.decide', effect: 'write' } },
      schema: {
        summary: 'Approve or reject; whoever waits goes on at once',
        params: z.object({ id: z.string() }),
        body: z.strictObject({ approve: z.boolean(), note: z.string().max(1000).optional() }),
        response: { 200: Approval },
      },
    },
    async (request) => {
      const { tenant, id: by } = request.principal
      const { approve, note } = request.body
      const approval = await approvals.decide({ tenant, id: request.params.id, approve, by, note })
      await tellWhoWaits(workflows, tenant, approval, { approved: approve, by, ...(note ? { reason: note } : {}) })
      return approval
    },
  )
}

async function tellWhoWaits(workflows: Workflows, tenant: string, approval: Approval, answer: ApprovalAnswer): Promise<void> {
  const word: ProjectWord = { kind: 'approval', id: approval.id, ...answer }
  const signal =
    approval.action === DELIVERABLE_START
      ? { runId: approval.project ?? '', name: 'word', payload: word }
      : { runId: approval.run ?? '', name: `approval:${approval.id}`, payload: answer }
  await workflows.signal({ tenant, ...signal }).catch((error) => {
    // A call over the API waits for nobody, and a run may have ended meanwhile: the decision stands all the same.
    if (!SomaError.is(error, 'not_found') && !SomaError.is(error, 'conflict')) throw error
  })
}
