import { defineService } from '@soma/kernel/http/service'
import { createLiveRuns } from './live-runs.ts'
import { NOTIFICATION_MIGRATIONS } from './migrations.ts'
import { notificationEventRoutes } from './routes/notification-events.ts'
import { projectProgressRoutes } from './routes/project-progress.ts'
import { webhookRoutes } from './routes/webhooks.ts'
import { sendWebhooks } from './webhooks/send-webhooks.ts'
import { createWebhookStore } from './webhooks/webhook-store.ts'

export const notificationService = defineService({
  name: 'notification-service',
  summary: 'Live progress, and telling people what waits for them.',
  needs: ['sql', 'broadcast', 'approvals', 'egress', 'secrets'],
  migrations: { schema: 'notification', steps: NOTIFICATION_MIGRATIONS },
  async routes(app, context) {
    const live = await createLiveRuns(context.broadcast)
    context.onStop(live.stop)
    projectProgressRoutes(app, { ...context, live })
    notificationEventRoutes(app, context)
    webhookRoutes(app, { ...context, store: createWebhookStore(context.sql) })
  },
  async start(context) {
    context.onStop(sendWebhooks({ ...context, store: createWebhookStore(context.sql) }))
  },
})
