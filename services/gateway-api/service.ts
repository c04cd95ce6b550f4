import { defineService, type Needs } from '@soma/kernel/http/service'
import { createRetentionWork } from '@soma/kernel/ledger/apply-retention'
import { createRedactions } from '@soma/kernel/ledger/redact'
import { createRetention } from '@soma/kernel/ledger/retention'
import { keepToRetention } from './keep-to-retention.ts'
import { auditRoutes } from './routes/audit.ts'
import { retentionRoutes } from './routes/retention.ts'
import { statusRoutes } from './routes/status.ts'
import { signCheckpoints } from './sign-checkpoints.ts'

export const gatewayApi = defineService({
  name: 'gateway-api',
  summary: 'The platform as a whole: status and the audit ledger.',
  needs: ['sql', 'journal', 'ledger', 'objects', 'locks', 'kill', 'dependencies'],
  routes(app, context) {
    statusRoutes(app, context)
    auditRoutes(app, context.ledger)
    retentionRoutes(app, retentionParts(context))
  },
  async start(context) {
    context.onStop(signCheckpoints(context))
    context.onStop(keepToRetention({ ...context, ...retentionParts(context) }))
  },
})

function retentionParts(context: Pick<Needs, 'sql' | 'journal' | 'objects' | 'locks'>) {
  const retention = createRetention(context.journal)
  const redactions = createRedactions({ ...context, retention })
  return { retention, redactions, retentionWork: createRetentionWork({ ...context, retention, redactions }) }
}
