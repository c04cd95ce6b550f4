import { ERROR_CODES, type ErrorCode } from '@soma/contracts/errors'
import { Plan } from '@soma/contracts/project'
import { createOperations } from '@soma/kernel/actions/operations'
import { Config } from '@soma/kernel/config/schema'
import { HTTP_STATUS } from '@soma/kernel/http/problem'
import { expect, test } from 'vitest'
import { projectPlan } from './project-plan.ts'

const PLAN = Plan.parse({
  apiVersion: 'soma.dev/v1',
  kind: 'Plan',
  metadata: { name: 'one', summary: 'One deliverable.' },
  deliverables: [{ id: 'only', title: 'Only', persona: 'engineer.v1', tools: [], budget_tokens: 0, capsule: 'known@1.0.0' }],
})

/** Plans while the repository of capsules answers with a problem. */
function planWhile(code: ErrorCode): Promise<unknown> {
  const answer = async () => Response.json({ code, detail: ERROR_CODES[code], details: {} }, { status: HTTP_STATUS[code] })
  const plan = projectPlan({ fetchAs: () => answer, operations: createOperations([]), config: Config.parse({}) })
  return plan({ source: { plan: PLAN }, inputs: {}, tenant: 'acme' })
}

test('a capsule that is not there makes the plan invalid', async () => {
  await expect(planWhile('not_found')).rejects.toMatchObject({ code: 'plan_invalid', details: { capsule: 'known@1.0.0' } })
})

test.each(['dependency_unavailable', 'policy_unavailable', 'audit_unavailable'] as const)(
  'a plan is not called invalid while its capsules can not be asked for: %s',
  async (code) => {
    await expect(planWhile(code)).rejects.toMatchObject({ code })
  },
)
