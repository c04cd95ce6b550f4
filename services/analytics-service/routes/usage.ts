import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { toCsv } from '../csv.ts'
import { type Figures, OperationFigures, Summary } from '../figures.ts'
import { CSV, jsonOrCsv, WindowQuery, windowOf } from './answer.ts'

const action = { capability: 'analytics.read', effect: 'read' } as const

export function usageRoutes(app: ServiceApp, figures: Figures): void {
  app.get(
    '/v1/analytics/summary',
    {
      config: { action: { name: 'http.analytics.summary', ...action } },
      schema: {
        summary: 'Runs, actions, decisions, approvals, and what was spent, over a window',
        querystring: WindowQuery,
        response: jsonOrCsv(Summary),
      },
    },
    async (request, reply) => {
      const summary = await figures.summary(request.principal.tenant, windowOf(request.query))
      return request.query.format === 'csv' ? reply.type(CSV).send(toCsv(Summary, [summary])) : summary
    },
  )

  app.get(
    '/v1/analytics/operations',
    {
      config: { action: { name: 'http.analytics.operations', ...action } },
      schema: {
        summary: 'Calls, failures and durations of each operation over a window, most called first',
        querystring: WindowQuery,
        response: jsonOrCsv(z.object({ items: z.array(OperationFigures) })),
      },
    },
    async (request, reply) => {
      const items = await figures.operations(request.principal.tenant, windowOf(request.query))
      return request.query.format === 'csv' ? reply.type(CSV).send(toCsv(OperationFigures, items)) : { items }
    },
  )
}
