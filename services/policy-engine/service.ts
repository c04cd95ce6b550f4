import { defineService } from '@soma/kernel/http/service'
import { policyRoutes } from './routes/policies.ts'

export const policyEngine = defineService({
  name: 'policy-engine',
  summary: 'Decisions: what is allowed, and why.',
  needs: ['policy'],
  routes: policyRoutes,
})
