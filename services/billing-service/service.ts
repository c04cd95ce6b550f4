import { defineService } from '@soma/kernel/http/service'
import { budgetRoutes } from './routes/budgets.ts'

export const billingService = defineService({
  name: 'billing-service',
  summary: 'Budgets and usage.',
  needs: ['budgets'],
  routes: (app, { budgets }) => budgetRoutes(app, budgets),
})
