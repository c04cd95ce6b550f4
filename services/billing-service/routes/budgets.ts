import { BudgetAmount, BudgetState } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import type { Budgets } from '@soma/kernel/budgets/budgets'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

export function budgetRoutes(app: ServiceApp, budgets: Budgets): void {
  app.get(
    '/v1/budgets',
    {
      config: { action: { name: 'http.budgets.list', capability: 'budget.read', effect: 'read' } },
      schema: { summary: 'Budgets of the tenant: limit, reserved, spent', querystring: PageQuery, response: { 200: page(BudgetState) } },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const after = cursor ? decodeCursor(cursor, z.string()) : undefined
      const rows = await budgets.list(request.principal.tenant, { after, limit: limit + 1 })
      return pageOf(rows, limit, { item: (row) => row, position: ({ id }) => id })
    },
  )

  app.get(
    '/v1/usage',
    {
      config: { action: { name: 'http.usage.read', capability: 'budget.read', effect: 'read' } },
      schema: { summary: 'What the tenant used, of what it may', response: { 200: BudgetState } },
    },
    async (request) => {
      const { tenant } = request.principal
      return (await budgets.state(tenant, tenantBudget(tenant))) ?? { id: tenantBudget(tenant), limit: {}, reserved: {}, spent: {} }
    },
  )

  app.put(
    '/v1/budgets/tenant',
    {
      config: { action: { name: 'http.budgets.set', capability: 'budget.admin', effect: 'write' } },
      schema: {
        summary: 'Limit what the whole tenant may use. What is missing is not limited.',
        body: BudgetAmount,
        response: { 200: BudgetState },
      },
    },
    async (request) => {
      const { tenant } = request.principal
      await budgets.open(tenant, tenantBudget(tenant), request.body)
      const state = await budgets.state(tenant, tenantBudget(tenant))
      if (!state) throw new SomaError('not_found', 'The budget is not there any more.')
      return state
    },
  )
}

/** The budget that every action of a tenant is charged to, if it is there. */
function tenantBudget(tenant: string): string {
  return `tenant/${tenant}`
}
