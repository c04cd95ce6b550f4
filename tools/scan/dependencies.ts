import { operation } from '@soma/contracts/operation'
import { DependenciesInput, DependenciesReport } from './dependenciesReport.ts'

export const dependencies = operation({
  name: 'scan.dependencies',
  summary: 'List dependencies from lock files and manifests, and what is wrong with them',
  description:
    'Reads the lock files and manifests of npm, yarn, pnpm, pip, poetry, uv, pipenv, Go, Cargo, Maven, Gradle, Bundler and Composer in the tree of a commit. Nothing is installed or asked from a registry.',
  input: DependenciesInput,
  output: DependenciesReport,
  effect: 'read',
  capability: 'tool.scan.read',
  idempotency: { kind: 'read' },
  timeoutSeconds: 300,
  untrustedOutput: true,
  resource: ({ repository }) => ({ path: repository }),
  run: async (input, context) => (await import('./listDependencies.ts')).listDependencies(input, context),
})
