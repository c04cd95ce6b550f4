import { SomaError } from '@soma/contracts/errors'
import { Plan } from '@soma/contracts/project'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

/** Plan templates are few and come with the platform, so they are read once, at the first question, and listed whole. */
export function planRoutes(app: ServiceApp, read: () => Promise<ReadonlyMap<string, Plan>>): void {
  let reading: Promise<ReadonlyMap<string, Plan>> | undefined
  const templates = () => {
    reading ??= read()
    return reading
  }

  app.get(
    '/v1/plans',
    {
      config: { action: { name: 'http.plans.list', capability: 'project.read', effect: 'read' } },
      schema: {
        summary: 'Plan templates that a project can be made from',
        response: {
          200: z.object({ items: z.array(z.object({ name: z.string(), summary: z.string(), deliverables: z.number().int() })) }),
        },
      },
    },
    async () => ({
      items: [...(await templates()).values()].map(({ metadata, deliverables }) => ({ ...metadata, deliverables: deliverables.length })),
    }),
  )

  app.get(
    '/v1/plans/:name',
    {
      config: { action: { name: 'http.plans.read', capability: 'project.read', effect: 'read' } },
      schema: { summary: 'One plan template', params: z.object({ name: z.string() }), response: { 200: Plan } },
    },
    async (request) => {
      const plans = await templates()
      const plan = plans.get(request.params.name)
      if (plan) return plan
      throw new SomaError('not_found', `There is no plan template "${request.params.name}". There are: ${[...plans.keys()].join(', ')}.`)
    },
  )
}
