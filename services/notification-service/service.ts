import { defineService } from '@soma/kernel/http/service'
import { createLiveRuns } from './live-runs.ts'
import { projectProgressRoutes } from './routes/project-progress.ts'

export const notificationService = defineService({
  name: 'notification-service',
  summary: 'Live progress.',
  needs: ['broadcast'],
  async routes(app, context) {
    const live = await createLiveRuns(context.broadcast)
    context.onStop(live.stop)
    projectProgressRoutes(app, { ...context, live })
  },
})
