import { createPresentRights, type PresentRights } from '@soma/kernel/auth/present-rights'
import { defineService, type Needs } from '@soma/kernel/http/service'
import { createActivities } from './activities/activities.ts'
import { announceChanges } from './announce-changes.ts'
import { approvalDelegationRoutes } from './routes/approval-delegations.ts'
import { approvalRoutes } from './routes/approvals.ts'
import { killSwitchRoutes } from './routes/kill-switches.ts'
import { projectReportRoutes } from './routes/project-reports.ts'
import { projectRoutes } from './routes/projects.ts'
import { runTokenRoutes } from './routes/run-tokens.ts'
import { runRoutes } from './routes/runs.ts'
import { tendApprovals } from './tend-approvals.ts'
import { agentTaskWorkflow } from './workflows/agent-task.workflow.ts'
import { capsuleWorkflow } from './workflows/capsule.workflow.ts'
import { projectWorkflow } from './workflows/project.workflow.ts'

export const orchestrator = defineService({
  name: 'orchestrator',
  summary: 'Runs of capsules and projects, their approvals and kill switches.',
  needs: [
    'workflows',
    'performAction',
    'operations',
    'gate',
    'budgets',
    'approvals',
    'kill',
    'journal',
    'ledger',
    'objects',
    'broadcast',
    'sql',
    'tokens',
  ],
  routes(app, context) {
    projectRoutes(app, context)
    projectReportRoutes(app, context)
    runRoutes(app, context)
    runTokenRoutes(app, { ...context, presentRights: presentRightsOf(context, 0) })
    approvalRoutes(app, context)
    approvalDelegationRoutes(app, context)
    killSwitchRoutes(app, context)
  },
  async start(context) {
    const { workflows } = context
    context.onStop(announceChanges(context))
    const activities = createActivities({ ...context, presentRights: presentRightsOf(context, 1000) })
    await workflows.start({ workflows: [projectWorkflow, agentTaskWorkflow, capsuleWorkflow], activities })
    context.onStop(tendApprovals(context))
  },
})

function presentRightsOf({ sql, tokens }: Pick<Needs, 'sql' | 'tokens'>, rememberMilliseconds: number): PresentRights {
  return createPresentRights({ sql, revocations: tokens.revocations }, { rememberMilliseconds })
}
