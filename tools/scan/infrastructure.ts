import { operation } from '@soma/contracts/operation'
import { InfrastructureInput, InfrastructureReport } from './infrastructureReport.ts'

export const infrastructure = operation({
  name: 'scan.infrastructure',
  summary: 'Check Dockerfiles, workflows, compose files, Kubernetes manifests and Terraform for well-known mistakes',
  description:
    'Reads the infrastructure files of a commit and says which practices are there: CI, dependency updates, editor configuration, pre-commit hooks. Templates are not rendered and nothing is run.',
  input: InfrastructureInput,
  output: InfrastructureReport,
  effect: 'read',
  capability: 'tool.scan.read',
  idempotency: { kind: 'read' },
  timeoutSeconds: 300,
  untrustedOutput: true,
  resource: ({ repository }) => ({ path: repository }),
  run: async (input, context) => (await import('./checkInfrastructure.ts')).checkInfrastructure(input, context),
})
