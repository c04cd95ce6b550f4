import { CapsuleName, SemVer, StoredCapsule } from '@soma/contracts/capsule'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import type { Capsules } from '../capsules.ts'

const Summary = StoredCapsule.omit({ yaml: true, capsule: true, signatures: true }).extend({
  summary: z.string(),
  signedBy: z.array(z.string()),
})
const Version = z.object({ name: CapsuleName, version: SemVer })

export function capsuleRoutes(app: ServiceApp, capsules: Capsules): void {
  app.get(
    '/v1/capsules',
    {
      config: { action: { name: 'http.capsules.list', capability: 'capsule.read', effect: 'read' } },
      schema: { summary: 'Capsules of the tenant and the first-party ones', querystring: PageQuery, response: { 200: page(Summary) } },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const after = cursor ? decodeCursor(cursor, z.object({ name: z.string(), version: z.string() })) : undefined
      const rows = await capsules.list(request.principal.tenant, after, limit + 1)
      return pageOf(rows, limit, { item: summarise, position: ({ name, version }) => ({ name, version }) })
    },
  )

  app.post(
    '/v1/capsules',
    {
      config: { action: { name: 'http.capsules.create', capability: 'capsule.write', effect: 'write' } },
      schema: {
        summary: 'Check a capsule and keep this version of it',
        body: z.strictObject({ yaml: z.string().min(1).max(1_000_000), signatures: StoredCapsule.shape.signatures.default([]) }),
        response: { 201: StoredCapsule },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await capsules.put(request.principal.tenant, request.body.yaml, request.body.signatures)),
  )

  app.get(
    '/v1/capsules/:name/:version',
    {
      config: { action: { name: 'http.capsules.read', capability: 'capsule.read', effect: 'read' } },
      schema: { summary: 'One version of a capsule', params: Version, response: { 200: StoredCapsule } },
    },
    (request) => capsules.get(request.principal.tenant, request.params.name, request.params.version),
  )

  app.post(
    '/v1/capsules/:name/:version/sign',
    {
      config: { action: { name: 'http.capsules.sign', capability: 'capsule.sign', effect: 'write' } },
      schema: {
        summary: 'Sign a version with the platform’s key; from then on it never changes',
        params: Version,
        response: { 200: StoredCapsule },
      },
    },
    (request) => capsules.sign(request.principal.tenant, request.params.name, request.params.version),
  )

  app.get(
    '/v1/capsules/:name/:version/verified',
    {
      config: { action: { name: 'http.capsules.verify', capability: 'capsule.read', effect: 'read' } },
      schema: {
        summary: 'One version, when it may run: unchanged and signed by a trusted key',
        params: Version,
        response: { 200: StoredCapsule },
      },
    },
    (request) => capsules.resolve(request.principal.tenant, request.params.name, request.params.version),
  )
}

function summarise({ yaml: _, capsule, signatures, ...rest }: StoredCapsule) {
  return { ...rest, summary: capsule.metadata.summary, signedBy: signatures.map(({ keyId }) => keyId) }
}
