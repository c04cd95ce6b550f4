import { ConstitutionVersion, WrittenRule } from '@soma/contracts/constitution-version'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import type { Journal } from '@soma/ports/journal/port'
import { parseConstitution } from '@soma/ports/policy/check'
import { diffConstitutions } from '@soma/ports/policy/diff'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import { z } from 'zod'
import type { Constitutions } from '../constitutions.ts'
import { Impact, previewImpact } from '../impact.ts'
import { readDecisions } from '../recorded-decisions.ts'

const Yaml = z.string().min(1).max(131_072)
/** Which rules of the tenant are meant. */
const Source = z.union([
  z.strictObject({ yaml: Yaml }),
  z.strictObject({ proposal: z.string().max(100) }),
  z.strictObject({ version: z.number().int().min(1) }),
])
type Source = z.infer<typeof Source>

const names = z.array(z.string())
const Diff = z.object({
  added: z.array(WrittenRule),
  removed: z.array(WrittenRule),
  changed: z.array(z.object({ id: z.string(), fields: names, before: WrittenRule, after: WrittenRule })),
  tests: z.object({ added: names, removed: names, changed: names }),
  residency: z.object({ before: names, after: names }).optional(),
})

/** Versions of a tenant's rules: what there was, what would change, and what that would have meant. */
export function versionRoutes(app: ServiceApp, { constitutions, journal }: { constitutions: Constitutions; journal: Journal }): void {
  const { versions, proposals } = constitutions

  async function textOf(tenant: string, source: Source): Promise<string> {
    if ('yaml' in source) return source.yaml
    return 'proposal' in source ? (await proposals.get(tenant, source.proposal)).yaml : (await versions.get(tenant, source.version)).yaml
  }

  app.get(
    '/v1/constitution/versions',
    {
      config: { action: { name: 'http.constitution.versions', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'Versions of the tenant’s own rules, newest first',
        querystring: PageQuery,
        response: { 200: page(ConstitutionVersion) },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const before = cursor ? decodeCursor(cursor, z.number().int()) : undefined
      const rows = await versions.list(request.principal.tenant, limit + 1, before)
      return pageOf(rows, limit, { item: (row) => row, position: (row) => row.version })
    },
  )

  app.get(
    '/v1/constitution/versions/:version',
    {
      config: { action: { name: 'http.constitution.version', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'A version of the tenant’s own rules',
        params: z.object({ version: z.coerce.number().int().min(1) }),
        response: { 200: ConstitutionVersion },
      },
    },
    (request) => versions.get(request.principal.tenant, request.params.version),
  )

  app.post(
    '/v1/constitution/validate',
    {
      config: { action: { name: 'http.constitution.validate', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'Check rules and run their tests, without proposing them',
        body: z.strictObject({ yaml: Yaml }),
        response: { 200: z.object({ valid: z.literal(true) }) },
      },
    },
    async (request) => {
      await constitutions.check(request.principal.tenant, request.body.yaml)
      return { valid: true as const }
    },
  )

  app.post(
    '/v1/constitution/diff',
    {
      config: { action: { name: 'http.constitution.diff', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'Which rules are added, removed or changed from one text to another',
        body: z.strictObject({ from: Source.optional().describe('Without it, what is in force'), to: Source }),
        response: { 200: Diff },
      },
    },
    async (request) => {
      const { tenant } = request.principal
      const { from, to } = request.body
      const before = from ? await textOf(tenant, from) : (await versions.newest(tenant))?.yaml
      const after = parseConstitution(await textOf(tenant, to))
      return diffConstitutions(before === undefined ? undefined : parseConstitution(before), after)
    },
  )

  app.post(
    '/v1/constitution/preview',
    {
      config: { action: { name: 'http.constitution.preview', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'What these rules would have decided about the last real questions, and what differs from what was decided',
        body: z.strictObject({
          rules: Source,
          last: z.number().int().min(1).max(10_000).default(1000).describe('How many of the last decisions are asked again'),
        }),
        response: { 200: Impact },
      },
    },
    async (request) => {
      const { tenant } = request.principal
      const { rules, last } = request.body
      const together = await constitutions.check(tenant, await textOf(tenant, rules))
      return previewImpact(await readDecisions(journal, tenant, last), together, () => openWasmPolicy())
    },
  )
}
