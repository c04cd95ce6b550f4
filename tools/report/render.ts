import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { Facts } from './facts.ts'
import { markupOf } from './html.ts'

const Stored = z.object({
  digest: z.string().describe('sha256: and 64 hex digits'),
  size: z.number().int().describe('Bytes'),
  mediaType: z.string(),
})

export const render = operation({
  name: 'report.render',
  summary: 'Lay out the report of repository-health',
  description:
    'One HTML page that needs nothing from elsewhere, and its JSON twin with the same facts. Both are stored under their digests; the same facts give the same report.',
  input: z.object({ facts: Facts.describe('Outcomes, cost, approvals and decisions of the project') }),
  output: z.object({ html: Stored.describe('The page'), json: Stored.describe('The facts it was made from') }),
  effect: 'read',
  capability: 'tool.report.read',
  idempotency: { kind: 'read' },
  // It shows what the repository says.
  untrustedOutput: true,
  async run({ facts }, { objects }) {
    // Loaded at the first report: it brings charts and every section along.
    const { page } = await import('./page.ts')
    const bytesOf = (text: string) => new TextEncoder().encode(text)
    const twin = { apiVersion: 'soma.dev/v1', kind: 'RepositoryHealthReport', ...facts }
    const [html, json] = await Promise.all([
      objects.put(bytesOf(markupOf(page(facts))), 'text/html; charset=utf-8'),
      objects.put(bytesOf(`${JSON.stringify(twin, null, 1)}\n`), 'application/json'),
    ])
    return { html, json }
  },
})
