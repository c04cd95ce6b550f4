import { sendJsonLines } from '@soma/kernel/http/json-lines'
import type { ServiceApp } from '@soma/kernel/http/service'
import { Checkpoint } from '@soma/kernel/ledger/checkpoint'
import type { Ledger } from '@soma/kernel/ledger/ledger'
import { KindPattern } from '@soma/kernel/ledger/redaction-record'
import { z } from 'zod'

const Head = z.object({
  position: z.string(),
  hash: z.string(),
  checkpoint: Checkpoint.optional(),
  keys: z.array(z.object({ id: z.string(), publicKey: z.string() })),
})

const Range = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,19}$/)
    .optional()
    .describe('Position of the end of a checkpoint: goes on behind an earlier export'),
  since: z.iso.datetime().optional().describe('Every entry from then on'),
  until: z.iso.datetime().optional().describe('Every entry until then'),
  kind: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(KindPattern).min(1))
    .optional()
    .describe('Kinds whose content is wanted, as "gate.decided,action.*"; other entries come without theirs'),
})

export function auditRoutes(app: ServiceApp, ledger: Ledger): void {
  app.get(
    '/v1/audit/head',
    {
      config: { action: { name: 'http.audit.head', capability: 'audit.read', effect: 'read' } },
      schema: {
        summary: 'The last entry of the tenant’s ledger, its last signed checkpoint and the keys it is signed with',
        response: { 200: Head },
      },
    },
    async (request) => ({ ...((await ledger.head(request.principal.tenant)) ?? { position: '0', hash: '' }), keys: [...ledger.keys] }),
  )

  app.post(
    '/v1/audit/checkpoints',
    {
      config: { action: { name: 'http.audit.checkpoint', capability: 'audit.checkpoint', effect: 'write' } },
      schema: {
        summary: 'Sign a checkpoint of everything appended until now',
        response: { 201: z.object({ checkpoint: Checkpoint.nullable() }) },
      },
    },
    async (request, reply) => reply.code(201).send({ checkpoint: (await ledger.checkpoint(request.principal.tenant)) ?? null }),
  )

  app.get(
    '/v1/audit/export',
    {
      config: { action: { name: 'http.audit.export', capability: 'audit.read', effect: 'read' } },
      schema: {
        summary: 'The tenant’s ledger or a range of it as JSON lines, verifiable offline with "soma audit verify"',
        querystring: Range,
      },
    },
    async (request, reply) => {
      const { tenant } = request.principal
      const { kind, ...range } = request.query
      await ledger.checkpoint(tenant)
      return sendJsonLines(reply, ledger.exportAll(tenant, { ...range, kinds: kind }))
    },
  )

  app.get(
    '/v1/audit/proof',
    {
      config: { action: { name: 'http.audit.prove', capability: 'audit.read', effect: 'read' } },
      schema: {
        summary: 'One entry with the proof that it is in the ledger, as JSON lines, verifiable offline with "soma audit verify"',
        querystring: z.strictObject({ stream: z.string().max(1000), seq: z.coerce.number().int().min(1) }),
      },
    },
    async (request, reply) => {
      const { tenant } = request.principal
      const { stream, seq } = request.query
      await ledger.checkpoint(tenant)
      return sendJsonLines(reply, await ledger.exportEntry(tenant, stream, seq))
    },
  )
}
