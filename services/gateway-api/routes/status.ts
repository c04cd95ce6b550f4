import { checkDependencies, DependencyReport } from '@soma/kernel/http/dependencies'
import type { Needs, ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

export function statusRoutes(app: ServiceApp, { dependencies, kill }: Pick<Needs, 'dependencies' | 'kill'>): void {
  app.get(
    '/v1/status',
    {
      config: { action: { name: 'http.status.read', capability: 'status.read', effect: 'read' } },
      schema: {
        summary: 'What stands behind each port of this process and how it is, and what is stopped',
        response: {
          200: z.object({
            ports: z.record(z.string(), DependencyReport),
            killSwitches: z.number().int(),
            process: z.object({ node: z.string(), memoryBytes: z.number(), uptimeSeconds: z.number() }),
          }),
        },
      },
    },
    async (request) => ({
      ports: await checkDependencies(dependencies),
      killSwitches: (await kill.list(request.principal.tenant)).length,
      process: { node: process.version, memoryBytes: process.memoryUsage.rss(), uptimeSeconds: Math.round(process.uptime()) },
    }),
  )
}
