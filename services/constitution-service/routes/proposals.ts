import { ConstitutionProposal, ConstitutionVersion } from '@soma/contracts/constitution-version'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { type Constitutions, PUBLISH } from '../constitutions.ts'

const Words = z.string().trim().min(1).max(2000)
const Id = z.object({ id: z.string().max(100) })

/** How rules change: somebody proposes, another publishes. */
export function proposalRoutes(app: ServiceApp, constitutions: Constitutions): void {
  const { proposals } = constitutions

  app.post(
    '/v1/constitution/proposals',
    {
      config: { action: { name: 'http.constitution.propose', capability: 'constitution.propose', effect: 'write' } },
      schema: {
        summary:
          'Propose rules for the tenant, or to bring an earlier version back. They can forbid more and allow what nothing speaks about; no denial of the base is taken back.',
        body: z.union([
          z.strictObject({ yaml: z.string().min(1).max(131_072), note: Words.describe('Why') }),
          z.strictObject({ rollbackTo: z.number().int().min(1), note: Words.describe('Why') }),
        ]),
        response: { 201: ConstitutionProposal },
      },
    },
    async (request, reply) => reply.code(201).send(await constitutions.propose(request.principal, request.body)),
  )

  app.get(
    '/v1/constitution/proposals',
    {
      config: { action: { name: 'http.constitution.proposals', capability: 'constitution.read', effect: 'read' } },
      schema: {
        summary: 'Proposals, newest first',
        querystring: PageQuery.extend({ status: ConstitutionProposal.shape.status.optional() }),
        response: { 200: page(ConstitutionProposal) },
      },
    },
    async (request) => {
      const { limit, cursor, status } = request.query
      const before = cursor ? decodeCursor(cursor, z.object({ proposedAt: z.string(), id: z.string() })) : undefined
      const rows = await proposals.list(request.principal.tenant, { status, before, limit: limit + 1 })
      return pageOf(rows, limit, { item: (row) => row, position: ({ proposedAt, id }) => ({ proposedAt, id }) })
    },
  )

  app.get(
    '/v1/constitution/proposals/:id',
    {
      config: { action: { name: 'http.constitution.proposal', capability: 'constitution.read', effect: 'read' } },
      schema: { summary: 'A proposal', params: Id, response: { 200: ConstitutionProposal } },
    },
    (request) => proposals.get(request.principal.tenant, request.params.id),
  )

  app.post(
    '/v1/constitution/proposals/:id/publish',
    {
      config: { action: { name: 'http.constitution.publish', capability: PUBLISH, effect: 'write' } },
      schema: {
        summary: 'Sign a proposal and put it in force, as another person than who proposed it',
        params: Id,
        body: z
          .strictObject({ emergency: Words.optional().describe('Rollbacks only: why one person must do') })
          .nullish()
          .transform((body) => body ?? {}),
        response: { 201: ConstitutionVersion },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await constitutions.publish(request.principal, request.params.id, request.body.emergency)),
  )

  app.post(
    '/v1/constitution/proposals/:id/withdraw',
    {
      config: { action: { name: 'http.constitution.withdraw', capability: 'constitution.propose', effect: 'write' } },
      schema: {
        summary: 'Take a proposal back, or turn it down',
        params: Id,
        body: z.strictObject({ reason: Words }),
        response: { 200: ConstitutionProposal },
      },
    },
    (request) => constitutions.withdraw(request.principal, request.params.id, request.body.reason),
  )
}
