import { SomaError } from '@soma/contracts/errors'
import { POLICY_BUNDLE } from '@soma/kernel/gate/gate'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import { isPlatform } from '@soma/kernel/http/request-life'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { type Constitutions, PLATFORM } from '../constitutions.ts'

const SignedConstitution = z.object({
  tenant: z.string(),
  version: z.number().int(),
  yaml: z.string(),
  digest: z.string().describe('sha-256 of the YAML text'),
  keyId: z.string(),
  signature: z.string().describe('Ed25519 over the digest, base64url'),
  publishedBy: z.string(),
  publishedAt: z.string(),
})

const Text = z.strictObject({ yaml: z.string().min(1).max(1_000_000) })

export function constitutionRoutes(app: ServiceApp, constitutions: Constitutions): void {
  const InForce = z.object({ base: SignedConstitution, overlay: SignedConstitution.nullable() })
  async function inForce(tenant: string): Promise<z.infer<typeof InForce>> {
    const base = await constitutions.newest(PLATFORM)
    if (!base) throw new SomaError('dependency_unavailable', 'The base constitution is not there yet.', { retryAfterSeconds: 1 })
    return { base, overlay: (await constitutions.newest(tenant)) ?? null }
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
        response: { 200: z.object({ base: SignedConstitution, overlays: z.array(z.object({ tenant: z.string(), digest: z.string() })) }) },
      },
    },
    async (request) => {
      if (!isPlatform(request) || request.principal.tenant !== PLATFORM)
        throw new SomaError('forbidden', 'Only the platform itself may know the rules of all tenants.')
      const { base } = await inForce(PLATFORM)
      return { base, overlays: await constitutions.overlays() }
    },
  )

  app.get(
    '/v1/constitution/versions',
    {
      config: { action: { name: 'http.constitution.versions', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'Versions of the tenant’s own rules, newest first',
        querystring: PageQuery,
        response: { 200: page(SignedConstitution) },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const before = cursor ? decodeCursor(cursor, z.number().int()) : undefined
      const rows = await constitutions.versions(request.principal.tenant, limit + 1, before)
      return pageOf(rows, limit, { item: (row) => row, position: (row) => row.version })
    },
  )

  app.post(
    '/v1/constitution/validate',
    {
      config: { action: { name: 'http.constitution.validate', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'Check rules and run their tests, without publishing',
        body: Text,
        response: { 200: z.object({ valid: z.literal(true) }) },
      },
    },
    async (request) => {
      await constitutions.check(request.principal.tenant, request.body.yaml)
      return { valid: true as const }
    },
  )

  app.post(
    '/v1/constitution/versions',
    {
      config: { action: { name: 'http.constitution.publish', capability: 'constitution.publish', effect: 'write' } },
      schema: {
        summary:
          'Publish a version of the tenant’s own rules. They can forbid more and allow what nothing speaks about; no denial of the base is taken back.',
        body: Text,
        response: { 201: SignedConstitution },
      },
    },
    async (request, reply) => {
      const { tenant, id } = request.principal
      const published = await constitutions.publish(tenant, request.body.yaml, id)
      return reply.code(201).send(published)
    },
  )
}
