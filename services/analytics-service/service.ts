import { defineService } from '@soma/kernel/http/service'
import { createFigures } from './figures.ts'
import { followJournal } from './follow-journal.ts'
import { ANALYTICS_MIGRATIONS } from './migrations.ts'
import { createProjectMetrics } from './project-metrics.ts'
import { createProjection } from './projection.ts'
import { kamachiqRoutes } from './routes/kamachiq.ts'
import { usageRoutes } from './routes/usage.ts'

export const analyticsService = defineService({
  name: 'analytics-service',
  summary: 'Figures: runs, actions, decisions, time and cost.',
  needs: ['sql', 'journal', 'analytics'],
  migrations: { schema: 'analytics', steps: ANALYTICS_MIGRATIONS },
  routes(app, context) {
    const figures = createFigures(context)
    usageRoutes(app, figures)
    kamachiqRoutes(app, figures)
  },
  async start(context) {
    const projection = createProjection({ ...context, observe: createProjectMetrics(context) })
    context.onStop(followJournal({ ...context, projection }))
  },
})
