import { ConstitutionVersion } from '@soma/contracts/constitution-version'
import { SomaError } from '@soma/contracts/errors'
import { POLICY_BUNDLE } from '@soma/kernel/gate/gate'
import { isPlatform } from '@soma/kernel/http/request-life'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import type { Constitutions } from '../constitutions.ts'
import { PLATFORM } from '../versions.ts'

const InForce = z.object({ base: ConstitutionVersion, overlay: ConstitutionVersion.nullable() })

/** Which rules are in force, for people and for the processes that decide by them. */
export function inForceRoutes(app: ServiceApp, { versions }: Constitutions): void {
  async function inForce(tenant: string): Promise<z.infer<typeof InForce>> {
    const base = await versions.newest(PLATFORM)
    if (!base) throw new SomaError('dependency_unavailable', 'The base constitution is not there yet.', { retryAfterSeconds: 1 })
    return { base, overlay: (await versions.newest(tenant)) ?? null }
  }

  app.get(
    '/v1/constitution',
    {
      config: { action: { name: 'http.constitution.read', capability: 'constitution.read', effect: 'read' } },
      schema: { summary: 'The constitution in force: the platform’s base, and the tenant’s own rules on it', response: { 200: InForce } },
    },
    (request) => inForce(request.principal.tenant),
  )

  app.get(
    '/v1/constitution/rules',
    {
      config: { action: { name: 'http.constitution.rules', capability: POLICY_BUNDLE, effect: 'read' } },
      schema: { summary: 'The same, for the processes that compile policy from it', response: { 200: InForce } },
    },
    (request) => inForce(request.principal.tenant),
  )

  app.get(
    '/v1/constitution/tenants',
    {
      config: { action: { name: 'http.constitution.tenants', capability: POLICY_BUNDLE, effect: 'read' } },
      schema: {
        summary: 'Which rules are in force for whom, for the process that bundles them all; for the platform alone',
        response: { 200: z.object({ base: ConstitutionVersion, overlays: z.array(z.object({ tenant: z.string(), digest: z.string() })) }) },
      },
    },
    async (request) => {
      if (!isPlatform(request) || request.principal.tenant !== PLATFORM)
        throw new SomaError('forbidden', 'Only the platform itself may know the rules of all tenants.')
      const { base } = await inForce(PLATFORM)
      return { base, overlays: await versions.overlays() }
    },
  )
}
