import type { Needs, ServiceApp, ServiceContext } from '@soma/kernel/http/service'
import { z } from 'zod'

export function statusRoutes(app: ServiceApp, { config, sql, kill }: ServiceContext & Pick<Needs, 'sql' | 'kill'>): void {
  app.get(
    '/v1/status',
    {
      config: { action: { name: 'http.status.read', capability: 'status.read', effect: 'read' } },
      schema: {
        summary: 'Which driver stands behind each port, and what is stopped',
        response: {
          200: z.object({
            drivers: z.record(z.string(), z.string()),
            sql: z.object({ driver: z.string(), version: z.string(), milliseconds: z.number() }),
            killSwitches: z.number().int(),
            process: z.object({ node: z.string(), memoryBytes: z.number(), uptimeSeconds: z.number() }),
          }),
        },
      },
    },
    async (request) => {
      const began = performance.now()
      const version = await sql.version()
      const milliseconds = Math.round((performance.now() - began) * 100) / 100
      return {
        drivers: config.drivers,
        sql: { driver: config.sql.url ? 'postgres' : 'embedded', version, milliseconds },
        killSwitches: (await kill.list(request.principal.tenant)).length,
        process: { node: process.version, memoryBytes: process.memoryUsage.rss(), uptimeSeconds: Math.round(process.uptime()) },
      }
    },
  )
}
