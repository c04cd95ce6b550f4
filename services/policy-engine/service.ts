import { defineService } from '@soma/kernel/http/service'
import { decisionRoutes } from './routes/decisions.ts'
import { policyRoutes } from './routes/policies.ts'
import { serveBundlesToOpa } from './serve-bundles.ts'

export const policyEngine = defineService({
  name: 'policy-engine',
  summary: 'Decisions: what is allowed, and why.',
  needs: ['gate', 'keys', 'policyChanges'],
  routes(app, context) {
    decisionRoutes(app, context)
    policyRoutes(app, context)
  },
  async start(context) {
    if (context.config.drivers.policy === 'opa') await serveBundlesToOpa(context)
  },
})
