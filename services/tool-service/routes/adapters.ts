import type { Operations } from '@soma/kernel/actions/operations'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

const Health = z.object({ ok: z.boolean(), detail: z.string() })

export function adapterRoutes(app: ServiceApp, operations: Operations): void {
  app.get(
    '/v1/adapters',
    {
      config: { action: { name: 'http.adapters.list', capability: 'tool.read', effect: 'read', answersOwnWords: true } },
      schema: {
        summary: 'Tool adapters, and whether each has what it needs on this machine',
        response: {
          200: z.object({
            items: z.array(
              z.object({ name: z.string(), title: z.string(), summary: z.string(), operations: z.number().int(), health: Health }),
            ),
          }),
        },
      },
    },
    async () => ({
      items: await Promise.all(
        operations.adapters.map(async ({ name, title, summary, operations: declared, health }) => ({
          name,
          title,
          summary,
          operations: declared.length,
          health: await health(),
        })),
      ),
    }),
  )
}
