import { Action, Decision, Explanation, PolicyInput } from '@soma/contracts/policy'
import { Principal } from '@soma/contracts/tenant'
import type { Gate } from '@soma/kernel/gate/gate'
import type { GateRequest } from '@soma/kernel/gate/gate-request'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

/** A question to try out. The tenant is the caller's. */
const Question = z.strictObject({
  principal: Principal.omit({ tenant: true }).partial({ within: true }),
  action: Action,
  context: PolicyInput.shape.context.partial().default({}),
})

/** What would be decided. Nothing happens, is counted or recorded; whether a limit is used up is what it is at the moment. */
export function decisionRoutes(app: ServiceApp, { gate }: { gate: Gate }): void {
  const question = (tenant: string, { principal, action, context }: z.infer<typeof Question>): GateRequest => ({
    principal: { within: [], ...principal, tenant },
    action,
    context,
  })

  app.post(
    '/v1/evaluate',
    {
      config: { action: { name: 'http.policy.evaluate', capability: 'policy.evaluate', effect: 'read' } },
      schema: { summary: 'What would be decided: verdict, reasons, score, obligations', body: Question, response: { 200: Decision } },
    },
    async (request) => (await gate.explain(question(request.principal.tenant, request.body))).decision,
  )

  app.post(
    '/v1/explain',
    {
      config: { action: { name: 'http.policy.explain', capability: 'policy.evaluate', effect: 'read' } },
      schema: {
        summary: 'The same, with each rule that applies to such an action and which of its conditions hold',
        body: Question,
        response: { 200: Explanation },
      },
    },
    (request) => gate.explain(question(request.principal.tenant, request.body)),
  )

  app.post(
    '/v1/score',
    {
      config: { action: { name: 'http.policy.score', capability: 'policy.evaluate', effect: 'read' } },
      schema: {
        summary: 'How far an action keeps to the rules, from 0 to 1',
        body: Question,
        response: { 200: Decision.pick({ score: true, verdict: true, policy: true }) },
      },
    },
    async (request) => {
      const { score, verdict, policy } = (await gate.explain(question(request.principal.tenant, request.body))).decision
      return { score, verdict, policy }
    },
  )
}
