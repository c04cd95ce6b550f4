import { ConstitutionProposal, WrittenRule } from '@soma/contracts/constitution-version'
import { SomaError } from '@soma/contracts/errors'
import { TenantId } from '@soma/contracts/tenant'
import { POLICY_BUNDLE } from '@soma/kernel/gate/gate'
import type { ServiceApp, ServiceContext } from '@soma/kernel/http/service'
import type { Keys } from '@soma/kernel/keys/keys'
import { bodyOf, servicePrincipal } from '@soma/kernel/platform/internal-fetch'
import { addRules } from '@soma/ports/policy/add-rules'
import { parseConstitution } from '@soma/ports/policy/check'
import { z } from 'zod'
import { compileRules, type RulesInForce } from '../compile-rules.ts'

const Tenant = z.object({ tenant: TenantId })
const Note = z.string().trim().min(1).max(2000).describe('Why')

/** A tenant's policy as a whole. Rules change by a proposal that another person publishes, whichever way they are sent. */
export function policyRoutes(app: ServiceApp, { keys, fetchAs }: ServiceContext & { keys: Keys }): void {
  async function inForce(tenant: string): Promise<RulesInForce> {
    const asEngine = fetchAs({ ...servicePrincipal('policy-engine', tenant), capabilities: [POLICY_BUNDLE] })
    return bodyOf<RulesInForce>(asEngine('/v1/constitution/rules'))
  }

  async function compile(tenant: string, rules: RulesInForce) {
    return compileRules(tenant, rules, await keys.signingKey('constitution'))
  }

  const propose = (principal: Parameters<typeof fetchAs>[0], body: { yaml: string; note: string }) =>
    bodyOf<ConstitutionProposal>(
      fetchAs(principal)('/v1/constitution/proposals', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    )

  app.get(
    '/v1/policies/:tenant/bundle',
    {
      config: { action: { name: 'http.policies.bundle', capability: POLICY_BUNDLE, effect: 'read' } },
      schema: {
        summary: 'The compiled policy of a tenant, as policy drivers load it',
        params: Tenant,
        response: { 200: z.object({ version: z.string(), document: z.record(z.string(), z.unknown()) }) },
      },
    },
    async (request) => {
      const { tenant } = request.params
      assertOwn(request.principal.tenant, tenant)
      return compile(tenant, await inForce(tenant))
    },
  )

  app.get(
    '/v1/policies/:tenant',
    {
      config: { action: { name: 'http.policies.read', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'All rules that decide for a tenant, the platform’s and its own, and the digest that decisions name',
        params: Tenant,
        response: {
          200: z.object({
            policy: z.string(),
            base: z.object({ version: z.number().int(), rules: z.array(WrittenRule) }),
            own: z.object({ version: z.number().int(), rules: z.array(WrittenRule) }).nullable(),
          }),
        },
      },
    },
    async (request) => {
      const { tenant } = request.params
      assertOwn(request.principal.tenant, tenant)
      const rules = await inForce(tenant)
      const { version } = await compile(tenant, rules)
      const told = ({ version, yaml }: RulesInForce['base']) => ({ version, rules: parseConstitution(yaml).rules })
      return { policy: version, base: told(rules.base), own: rules.overlay && told(rules.overlay) }
    },
  )

  app.put(
    '/v1/policies/:tenant',
    {
      config: { action: { name: 'http.policies.replace', capability: 'constitution.propose', effect: 'write' } },
      schema: {
        summary: 'Propose other rules in the place of the tenant’s own',
        params: Tenant,
        body: z.strictObject({ yaml: z.string().min(1).max(131_072), note: Note }),
        response: { 202: ConstitutionProposal },
      },
    },
    async (request, reply) => {
      assertOwn(request.principal.tenant, request.params.tenant)
      return reply.code(202).send(await propose(request.principal, request.body))
    },
  )

  app.post(
    '/v1/policies/:tenant/rules',
    {
      config: { action: { name: 'http.policies.add', capability: 'constitution.propose', effect: 'write' } },
      schema: {
        summary: 'Propose further rules besides the tenant’s own',
        params: Tenant,
        body: z.strictObject({ rules: z.array(z.record(z.string(), z.unknown())).min(1).max(100), note: Note }),
        response: { 202: ConstitutionProposal },
      },
    },
    async (request, reply) => {
      const { tenant } = request.params
      assertOwn(request.principal.tenant, tenant)
      const { rules, note } = request.body
      const { overlay } = await inForce(tenant)
      return reply.code(202).send(await propose(request.principal, { yaml: addRules(overlay?.yaml, rules), note }))
    },
  )
}

function assertOwn(own: string, tenant: string): void {
  if (own !== tenant) throw new SomaError('not_found', `There is no tenant ${tenant}.`)
}
