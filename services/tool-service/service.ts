import { createAgentActions } from '@soma/kernel/actions/agent-actions'
import { describeOperations } from '@soma/kernel/actions/operation-catalogue'
import { defineService } from '@soma/kernel/http/service'
import { adapterRoutes } from './routes/adapters.ts'
import { operationRoutes } from './routes/operations.ts'

export const toolService = defineService({
  name: 'tool-service',
  summary: 'Tools: what there is, and calling it through the gate.',
  needs: ['operations', 'performAction', 'runLabels', 'journal'],
  routes(app, context) {
    const catalogue = describeOperations(context.operations.adapters)
    adapterRoutes(app, context.operations)
    operationRoutes(app, { ...context, catalogue, performAgentAction: createAgentActions(context) })
  },
})
