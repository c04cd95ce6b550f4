import { sendJsonLines } from '@soma/kernel/http/json-lines'
import type { ServiceApp } from '@soma/kernel/http/service'
import { Checkpoint } from '@soma/kernel/ledger/checkpoint'
import type { Ledger } from '@soma/kernel/ledger/ledger'
import { z } from 'zod'

const Head = z.object({ position: z.string(), hash: z.string(), checkpoint: Checkpoint.optional() })

export function auditRoutes(app: ServiceApp, ledger: Ledger): void {
  app.get(
    '/v1/audit/head',
    {
      config: { action: { name: 'http.audit.head', capability: 'audit.read', effect: 'read' } },
      schema: { summary: 'The last entry of the tenant’s ledger and its last signed checkpoint', response: { 200: Head } },
    },
    async (request) => (await ledger.head(request.principal.tenant)) ?? { position: '0', hash: '' },
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
      schema: { summary: 'The tenant’s whole ledger as JSON lines, verifiable offline with "soma audit verify"' },
    },
    async (request, reply) => {
      await ledger.checkpoint(request.principal.tenant)
      return sendJsonLines(reply, ledger.exportAll(request.principal.tenant))
    },
  )
}
