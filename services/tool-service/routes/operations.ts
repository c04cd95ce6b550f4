import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BudgetAmount } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import { Label } from '@soma/contracts/labels'
import { OperationDescription } from '@soma/kernel/actions/operation-catalogue'
import type { Operations } from '@soma/kernel/actions/operations'
import type { PerformAction } from '@soma/kernel/actions/perform-action'
import { reasonOf } from '@soma/kernel/http/action'
import type { ServiceApp, ServiceContext } from '@soma/kernel/http/service'
import { z } from 'zod'

interface Parts extends Pick<ServiceContext, 'folder'> {
  operations: Operations
  performAction: PerformAction
  /** For agents, whose calls carry the labels of what their run has read. */
  performAgentAction: PerformAction
  catalogue: readonly OperationDescription[]
}

export function operationRoutes(app: ServiceApp, { operations, performAction, performAgentAction, catalogue, folder }: Parts): void {
  app.get(
    '/v1/operations',
    {
      config: { action: { name: 'http.operations.list', capability: 'tool.read', effect: 'read', answersOwnWords: true } },
      schema: {
        summary: 'Operations of the adapters with their schemas',
        querystring: z.object({ adapter: z.string().optional() }),
        response: { 200: z.object({ items: z.array(OperationDescription) }) },
      },
    },
    async (request) => ({ items: catalogue.filter(({ adapter }) => !request.query.adapter || adapter === request.query.adapter) }),
  )

  app.get(
    '/v1/operations/:operation',
    {
      config: { action: { name: 'http.operations.read', capability: 'tool.read', effect: 'read', answersOwnWords: true } },
      schema: { summary: 'One operation', params: z.object({ operation: z.string() }), response: { 200: OperationDescription } },
    },
    async (request) => {
      const { name } = operations.find(request.params.operation).operation
      return catalogue.find((each) => each.name === name) as OperationDescription
    },
  )

  app.post(
    '/v1/operations/:operation/execute',
    {
      // Decided about as a request here, and as the tool call it is on the road of the action.
      config: { action: { name: 'http.operations.execute', capability: 'tool.call', effect: 'write', answersOwnWords: true } },
      schema: {
        summary: 'Call an operation',
        params: z.object({ operation: z.string() }),
        body: z.strictObject({
          input: z.record(z.string(), z.unknown()),
          approvals: z.array(z.string()).default([]).describe('Ids of approvals given for exactly this call'),
          labels: z.array(Label).max(50).default([]).describe('What the caller knows of the input: secret, personal, untrusted.web'),
        }),
        response: {
          200: z.object({
            output: z.unknown(),
            labels: z.array(z.string()),
            spent: BudgetAmount,
            dryRun: z.literal(true).optional().describe('Nothing was done: a rule let it happen only as a dry run'),
          }),
        },
      },
    },
    async (request) => {
      const { tenant, kind, run } = request.principal
      const isAgent = kind === 'agent'
      const key = request.idempotencyKey
      const workspace = join(await folder('workspaces'), tenant, (isAgent && run) || 'calls')
      await mkdir(workspace, { recursive: true })
      const gone = new AbortController()
      request.raw.once('close', () => {
        if (request.raw.destroyed && !request.raw.complete) gone.abort(new SomaError('cancelled', 'The caller left.'))
      })
      const perform = isAgent ? performAgentAction : performAction
      return perform({
        operation: request.params.operation,
        input: request.body.input,
        principal: request.principal,
        key: `call/${key ?? randomUUID()}`,
        mayExist: key !== undefined,
        place: `call/${key ?? 'once'}`,
        context: { ...(isAgent ? { run } : {}), approvals: request.body.approvals, labels: request.body.labels, reason: reasonOf(request) },
        budgets: [],
        workspace,
        signal: AbortSignal.any([gone.signal, app.stopping]),
        // A run is held until the switch is lifted; who calls by the API is told at once.
        whenKilled: 'refuse',
      })
    },
  )
}
