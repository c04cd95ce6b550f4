import { SomaError } from '@soma/contracts/errors'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { type Identity, publish, record } from '../identity.ts'
import { readTraining, startTraining, stopTraining, type TrainingLock } from '../training-lock.ts'

const Lock = z.object({
  tenant: z.string(),
  isActive: z.boolean(),
  holder: z.string().nullable().describe('Who holds it, or held it last'),
  reason: z.string().nullable(),
  startedAt: z.string().nullable(),
  expiresAt: z.string().nullable().describe('When it ends by itself, or ended'),
  token: z.number().describe('Grows with every start; what training writes is refused with a lower one'),
})

/** Training mode: one at a time trains the personas and capsules of a tenant. */
export function trainingRoutes(app: ServiceApp, identity: Identity): void {
  const { sql } = identity

  app.post(
    '/v1/training/start',
    {
      config: { action: { name: 'http.training.start', capability: 'training.admin', effect: 'write' } },
      schema: {
        summary: 'Put the tenant into training mode, for 24 hours at the most; one at a time',
        body: z.strictObject({ reason: z.string().min(1).max(500) }),
        response: { 201: Lock },
      },
    },
    async ({ principal, body }, reply) => {
      const lock = await startTraining(sql, principal.tenant, { holder: principal.id, reason: body.reason })
      await tell('started', lock, principal.id)
      return reply.code(201).send(lock)
    },
  )

  app.post(
    '/v1/training/stop',
    {
      config: { action: { name: 'http.training.stop', capability: 'training.admin', effect: 'write' } },
      schema: {
        summary: 'End training mode',
        body: z
          .strictObject({ token: z.number().int().min(1).optional().describe('Of the start that it ends; without it, whichever holds') })
          .default({}),
        response: { 200: Lock },
      },
    },
    async ({ principal, body }) => {
      const lock = await stopTraining(sql, principal.tenant, body.token)
      await tell('stopped', lock, principal.id)
      return lock
    },
  )

  app.get(
    '/v1/training/:tenant',
    {
      config: { action: { name: 'http.training.read', capability: 'training.read', effect: 'read' } },
      schema: {
        summary: 'Is the tenant in training mode, by whom and why?',
        params: z.object({ tenant: z.string() }),
        response: { 200: Lock },
      },
    },
    async ({ principal, params: { tenant } }) => {
      if (tenant === principal.tenant) return readTraining(sql, tenant)
      throw new SomaError('not_found', `There is no tenant "${tenant}" for ${principal.id}.`, { tenant })
    },
  )

  async function tell(what: 'started' | 'stopped', { tenant, holder, reason, token }: TrainingLock, by: string): Promise<void> {
    const said = { holder, reason, token, by }
    await record(identity, tenant, `identity.training_${what}`, said)
    await publish(identity, 'training.audit', { type: `soma.training.${what}`, tenant, subject: tenant, data: said })
  }
}
