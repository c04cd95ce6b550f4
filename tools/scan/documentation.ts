import { operation } from '@soma/contracts/operation'
import { DocumentationInput, DocumentationReport } from './documentationReport.ts'

export const documentation = operation({
  name: 'scan.documentation',
  summary: 'Judge the README, find missing documents and broken links',
  description:
    'Reads the Markdown files of a commit: what the README says, which documents of a well-kept repository are there, and whether relative links and anchors lead somewhere. Links to other sites are listed, not fetched. Files over 256 KiB are counted but not read.',
  input: DocumentationInput,
  output: DocumentationReport,
  effect: 'read',
  capability: 'tool.scan.read',
  idempotency: { kind: 'read' },
  timeoutSeconds: 300,
  untrustedOutput: true,
  resource: ({ repository }) => ({ path: repository }),
  run: async (input, context) => (await import('./judgeDocumentation.ts')).judgeDocumentation(input, context),
})
