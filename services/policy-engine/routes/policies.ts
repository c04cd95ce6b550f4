import { SomaError } from '@soma/contracts/errors'
import { Action, Decision, PolicyInput } from '@soma/contracts/policy'
import { Principal, TenantId } from '@soma/contracts/tenant'
import { POLICY_BUNDLE } from '@soma/kernel/gate/gate'
import type { ServiceApp, ServiceContext } from '@soma/kernel/http/service'
import { bodyOf, servicePrincipal } from '@soma/kernel/platform/internal-fetch'
import type { Policy } from '@soma/ports/policy/port'
import { z } from 'zod'
import { compileRules, type RulesInForce } from '../compile-rules.ts'

export function policyRoutes(app: ServiceApp, { policy, fetchAs }: ServiceContext & { policy: Policy }): void {
  app.get(
    '/v1/policies/:tenant/bundle',
    {
      config: { action: { name: 'http.policies.bundle', capability: POLICY_BUNDLE, effect: 'read' } },
      schema: {
        summary: 'The compiled policy of a tenant, as policy drivers load it',
        params: z.object({ tenant: TenantId }),
        response: { 200: z.object({ version: z.string(), document: z.record(z.string(), z.unknown()) }) },
      },
    },
    async (request) => {
      const { tenant } = request.params
      if (request.principal.tenant !== tenant) throw new SomaError('not_found', `There is no tenant ${tenant}.`)
      const asEngine = fetchAs({ ...servicePrincipal('policy-engine', tenant), capabilities: [POLICY_BUNDLE] })
      return compileRules(await bodyOf<RulesInForce>(asEngine('/v1/constitution/rules')))
    },
  )

  app.post(
    '/v1/policies/evaluate',
    {
      config: { action: { name: 'http.policies.evaluate', capability: 'policy.evaluate', effect: 'read' } },
      schema: {
        summary: 'What would be decided, and why. Nothing happens and nothing is recorded.',
        body: z.strictObject({
          principal: Principal.omit({ tenant: true }).partial({ within: true }),
          action: Action,
          context: PolicyInput.shape.context.partial().default({}),
        }),
        response: { 200: Decision },
      },
    },
    async (request) => {
      const { principal, action, context } = request.body
      const whole = { within: [], ...principal, tenant: request.principal.tenant }
      return policy.decide({ principal: whole, action, context: { labels: [], approvals: [], at: new Date().toISOString(), ...context } })
    },
  )
}
