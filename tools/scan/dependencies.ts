import { z } from 'zod'
import { Finding, ScannedCommit } from './finding.ts'

export const Ecosystem = z.enum(['npm', 'pypi', 'golang', 'cargo', 'maven', 'gem', 'composer'])
/** Names as the package URL specification has them. Gradle's are `maven`. */
export type Ecosystem = z.infer<typeof Ecosystem>

export const Dependency = z.object({
  ecosystem: Ecosystem,
  name: z.string().describe('As its registry writes it; `group:artifact` for maven'),
  version: z.string().nullable().describe('Exact version; null when only a range is known'),
  direct: z.boolean().describe('Named by a manifest of the repository'),
  dev: z.boolean().describe('Needed only for development or tests'),
  purl: z.string().describe('Package URL, https://github.com/package-url/purl-spec'),
  licence: z.string().optional().describe('As the lock file states it; absent when the lock file has no such field'),
  integrity: z.boolean().describe('The lock file pins the content by a digest'),
  source: z.enum(['registry', 'git', 'url', 'file']).describe('Where it is fetched from'),
  path: z.string().describe('The lock file or manifest it was read from'),
})
export type Dependency = z.infer<typeof Dependency>

export const DependenciesReport = z.object({
  commit: ScannedCommit,
  totals: z.object({
    dependencies: z.number().int().describe('Distinct package and version'),
    direct: z.number().int(),
    dev: z.number().int(),
    withoutIntegrity: z.number().int(),
    byEcosystem: z.partialRecord(Ecosystem, z.number().int()),
  }),
  lockFiles: z
    .array(
      z.object({
        path: z.string(),
        ecosystem: Ecosystem,
        format: z.string().describe('e.g. `package-lock v3`, `yarn berry`, `poetry.lock`'),
        readable: z.boolean().describe('False when it does not parse; a problem says why'),
        dependencies: z.number().int(),
        direct: z.number().int(),
        dev: z.number().int(),
        withoutIntegrity: z.number().int(),
      }),
    )
    .describe('By path'),
  manifests: z
    .array(
      z.object({
        path: z.string(),
        ecosystem: Ecosystem,
        declared: z.number().int().describe('Direct dependencies it names'),
        lockFile: z.string().nullable().describe('The lock file that covers it'),
      }),
    )
    .describe('By path'),
  dependencies: z.array(Dependency).describe('By ecosystem, name and version; each once. At most `limit`'),
  truncated: z.boolean().describe('True when there are more dependencies than `limit`'),
  problems: z.array(Finding.extend({ package: z.string().optional().describe('The package it is about') })).describe('Most severe first'),
})
export type DependenciesReport = z.infer<typeof DependenciesReport>
