import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { toCsv } from '../csv.ts'
import { type Figures, ProjectFigures, ProjectTotals } from '../figures.ts'
import { CSV, FormatQuery, jsonOrCsv, WindowQuery, windowOf } from './answer.ts'

const action = { capability: 'analytics.read', effect: 'read' } as const
const RUNS = '/v1/kamachiq/runs'
const Place = z.tuple([z.iso.datetime(), z.string()])

export function kamachiqRoutes(app: ServiceApp, figures: Figures): void {
  app.get(
    RUNS,
    {
      config: { action: { name: 'http.kamachiq.runs', ...action } },
      schema: {
        summary: 'Projects with duration, deliverables and calls, newest first; as CSV the next page is named in the header "link"',
        querystring: PageQuery.extend(FormatQuery.shape),
        response: jsonOrCsv(page(ProjectFigures)),
      },
    },
    async (request, reply) => {
      const { limit, cursor, format } = request.query
      const [startedAt, id] = cursor ? decodeCursor(cursor, Place) : []
      const after = startedAt !== undefined && id !== undefined ? { startedAt: new Date(startedAt), id } : undefined
      const rows = await figures.projects(request.principal.tenant, { after, limit: limit + 1 })
      const found = pageOf(rows, limit, { item: (row) => row, position: (row) => [row.startedAt, row.id] })
      if (format === 'json') return found
      if (found.nextCursor) reply.header('link', `<${RUNS}?format=csv&limit=${limit}&cursor=${found.nextCursor}>; rel="next"`)
      return reply.type(CSV).send(toCsv(ProjectFigures, found.items))
    },
  )

  app.get(
    '/v1/kamachiq/summary',
    {
      config: { action: { name: 'http.kamachiq.summary', ...action } },
      schema: {
        summary: 'Totals of the projects of a window: success and block rate, mean duration',
        querystring: WindowQuery,
        response: jsonOrCsv(ProjectTotals),
      },
    },
    async (request, reply) => {
      const totals = await figures.projectTotals(request.principal.tenant, windowOf(request.query))
      return request.query.format === 'csv' ? reply.type(CSV).send(toCsv(ProjectTotals, [totals])) : totals
    },
  )
}
