import { defineService } from '@soma/kernel/http/service'
import { auditRoutes } from './routes/audit.ts'
import { statusRoutes } from './routes/status.ts'
import { signCheckpoints } from './sign-checkpoints.ts'

export const gatewayApi = defineService({
  name: 'gateway-api',
  summary: 'The platform as a whole: status and the audit ledger.',
  needs: ['sql', 'ledger', 'kill', 'dependencies'],
  routes(app, context) {
    statusRoutes(app, context)
    auditRoutes(app, context.ledger)
  },
  async start(context) {
    context.onStop(signCheckpoints(context))
  },
})
