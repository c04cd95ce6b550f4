import { operation } from '@soma/contracts/operation'
import { SecretsInput, SecretsReport } from './secretsReport.ts'

export const secrets = operation({
  name: 'scan.secrets',
  summary: 'Look for secrets in the tree and in history',
  description:
    "Looks at every file of a commit and, with `history`, at every blob that any branch or tag leads to, each once, with secretlint's recommended rules. A secret itself is never given out: a masked form and a digest are. Comments `secretlint-disable` in a file are honoured.",
  input: SecretsInput,
  output: SecretsReport,
  effect: 'read',
  capability: 'tool.scan.read',
  idempotency: { kind: 'read' },
  timeoutSeconds: 3_700,
  untrustedOutput: true,
  resource: ({ repository, history }) => ({ path: repository, history }),
  run: async (input, context) => (await import('./lookForSecrets.ts')).lookForSecrets(input, context),
})
