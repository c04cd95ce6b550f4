import { z } from 'zod'
import { Finding } from './finding.ts'

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

export const DependencyProblem = Finding.extend({ package: z.string().optional().describe('The package it is about') })
export type DependencyProblem = z.infer<typeof DependencyProblem>
