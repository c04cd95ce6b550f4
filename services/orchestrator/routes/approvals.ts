import { SomaError } from '@soma/contracts/errors'
import { APPROVAL_STATUSES, Approval } from '@soma/kernel/approvals/approval'
import type { Approvals } from '@soma/kernel/approvals/approvals'
import { readable } from '@soma/kernel/approvals/readable'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

const Id = z.object({ id: z.string() })
const Status = z.enum(APPROVAL_STATUSES)
const Reason = z.string().trim().min(1).max(2000)

export function approvalRoutes(app: ServiceApp, { approvals }: { approvals: Approvals }): void {
  app.get(
    '/v1/approvals',
    {
      config: { action: { name: 'http.approvals.list', capability: 'approval.read', effect: 'read' } },
      schema: {
        summary: 'What waits for people, and what became of what waited, newest first',
        querystring: PageQuery.extend({
          status: z
            .union([Status, z.array(Status)])
            .optional()
            .describe('One or several'),
          action: z.string().optional().describe('tool.git.push, or tool.git.* for all below'),
          run: z.string().optional(),
          project: z.string().optional(),
          deliverable: z.string().optional(),
          requestedBy: z.string().optional().describe('Who asked, or for whom an agent did'),
          expiresBefore: z.iso.datetime().optional(),
        }),
        response: { 200: page(Approval) },
      },
    },
    async (request) => {
      const { limit, cursor, status, expiresBefore, ...filter } = request.query
      const rows = await approvals.list(request.principal.tenant, {
        ...filter,
        ...(status ? { status: [status].flat() } : {}),
        ...(expiresBefore ? { expiresBefore: new Date(expiresBefore) } : {}),
        after: cursor ? decodeCursor(cursor, z.string()) : undefined,
        limit: limit + 1,
      })
      return pageOf(rows, limit, { item: (row) => row, position: ({ id }) => id })
    },
  )

  app.get(
    '/v1/approvals/:id',
    {
      config: { action: { name: 'http.approvals.read', capability: 'approval.read', effect: 'read' } },
      schema: {
        summary: 'An approval, with what exactly will be done as text to read and compare',
        params: Id,
        response: { 200: Approval.extend({ text: z.string().describe('The arguments as YAML, keys in order') }) },
      },
    },
    async (request) => {
      const { id } = request.params
      const approval = await approvals.get(request.principal.tenant, id)
      if (!approval) throw new SomaError('not_found', `There is no approval ${id}.`, { id })
      return { ...approval, text: readable(approval.arguments) }
    },
  )

  app.post(
    '/v1/approvals/:id',
    {
      config: { action: { name: 'http.approvals.decide', capability: 'approval.decide', effect: 'write' } },
      schema: {
        summary: 'Approve or reject; whoever waits goes on at once',
        params: Id,
        body: z.strictObject({
          approve: z.boolean(),
          reason: Reason.optional().describe('Needed to reject, and to approve where the terms say so'),
          onBehalfOf: z
            .string()
            .optional()
            .describe('Who delegated their approvals to the caller; without it the caller’s own right counts first'),
        }),
        response: { 200: Approval },
      },
    },
    ({ principal, params, body }) => approvals.answer({ tenant: principal.tenant, id: params.id, by: principal, ...body }),
  )
}
