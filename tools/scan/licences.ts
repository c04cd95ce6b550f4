import { operation } from '@soma/contracts/operation'
import { LicencesInput, LicencesReport } from './licencesReport.ts'

export const licences = operation({
  name: 'scan.licences',
  summary: 'Group the licences of dependencies and find those that do not go with the licence of the repository',
  description:
    'Reads what lock files state, as SPDX expressions. A dependency without a statement is unknown: nothing is guessed or asked from a registry. Only what is distributed can conflict; dependencies of development are counted but not compared.',
  input: LicencesInput,
  output: LicencesReport,
  effect: 'read',
  capability: 'tool.scan.read',
  idempotency: { kind: 'read' },
  timeoutSeconds: 300,
  untrustedOutput: true,
  resource: ({ repository }) => ({ path: repository }),
  run: async (input, context) => (await import('./groupLicences.ts')).groupLicences(input, context),
})
