import { SomaError } from '@soma/contracts/errors'
import type { PresentRights } from '@soma/kernel/auth/present-rights'
import { assertRunOpen } from '@soma/kernel/auth/run-tokens'
import type { Needs, ServiceApp, ServiceContext } from '@soma/kernel/http/service'
import { z } from 'zod'
import { agentOfRun } from '../agent-of-run.ts'

const LONGEST_SECONDS = 300

interface Parts extends ServiceContext, Pick<Needs, 'journal' | 'tokens'> {
  presentRights: PresentRights
}

export function runTokenRoutes(app: ServiceApp, { journal, tokens, config, presentRights }: Parts): void {
  app.post(
    '/v1/runs/:id/tokens',
    {
      config: { action: { name: 'http.runs.token', capability: 'run.token', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'A token with which the agent of a capsule’s run speaks to the platform',
        description:
          'For whoever lets an agent think outside of the platform: the agent never gets the token of a person. It may what the person who started the run may ∩ what the plan names for its persona ∩ the capsule’s permissions ∩ what the caller may, is good for five minutes, and dies with the run.',
        params: z.object({ id: z.string().max(200) }),
        body: z
          .strictObject({
            capabilities: z.array(z.string()).min(1).optional().describe('Limits the token further'),
            ttlSeconds: z.number().int().min(30).max(LONGEST_SECONDS).default(LONGEST_SECONDS),
          })
          .default({ ttlSeconds: LONGEST_SECONDS }),
        response: { 201: z.object({ token: z.string(), expiresInSeconds: z.number() }) },
      },
    },
    async ({ principal, params: { id }, body: { capabilities, ttlSeconds } }, reply) => {
      const asOf = Date.now()
      const agent = await presentRights(await agentOfRun(journal, principal.tenant, id))
      await assertRunOpen(journal, principal.tenant, id).catch((cause) => {
        throw SomaError.is(cause, 'unauthenticated') ? new SomaError('conflict', `The run ${id} has ended.`, { run: id }, { cause }) : cause
      })
      const within = [...agent.within, ...principal.within, principal.capabilities, ...(capabilities ? [capabilities] : [])]
      const token = await tokens.issue({ ...agent, within }, { audience: config.auth.audience, ttlSeconds, asOf })
      return reply.code(201).send({ token, expiresInSeconds: ttlSeconds })
    },
  )
}
