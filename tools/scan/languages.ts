import { operation } from '@soma/contracts/operation'
import { LanguagesInput, LanguagesReport } from './languagesReport.ts'

export const languages = operation({
  name: 'scan.languages',
  summary: 'Count files and lines by language',
  description:
    "Reads the tree of a commit and counts files, bytes and lines by language, by linguist's rules: generated, vendored and documentation files are counted apart.",
  input: LanguagesInput,
  output: LanguagesReport,
  effect: 'read',
  capability: 'tool.scan.read',
  idempotency: { kind: 'read' },
  timeoutSeconds: 300,
  untrustedOutput: true,
  resource: ({ repository }) => ({ path: repository }),
  run: async (input, context) => (await import('./countLanguages.ts')).countLanguages(input, context),
})
