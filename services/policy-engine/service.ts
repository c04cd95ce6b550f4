import { defineService } from '@soma/kernel/http/service'
import { policyRoutes } from './routes/policies.ts'
import { serveBundlesToOpa } from './serve-bundles.ts'

export const policyEngine = defineService({
  name: 'policy-engine',
  summary: 'Decisions: what is allowed, and why.',
  needs: ['policy', 'policyChanges'],
  routes: policyRoutes,
  async start(context) {
    if (context.config.drivers.policy === 'opa') await serveBundlesToOpa(context)
  },
})
