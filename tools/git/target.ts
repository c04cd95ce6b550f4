import { isAbsolute, resolve } from 'node:path'
import { z } from 'zod'

export const RepositoryPath = z
  .string()
  .refine((path) => isAbsolute(path), 'Give the absolute path of the repository.')
  .describe('Absolute path of the repository: the top of its work tree, or a bare repository')

export const Revision = z.string().min(1).max(1_000).describe('A branch, tag or commit')

export const BranchName = z.string().min(1).max(255).describe('Name of a branch, without refs/heads/')

export const Person = z.object({
  name: z.string().describe('As .mailmap has it'),
  email: z.string().describe('As .mailmap has it'),
})

/** Facts about the repository for policy. The tool service adds whether the path is in the run's workspace. */
export function repositoryFacts(input: { repository: string; branch?: string }): Record<string, unknown> {
  const path = resolve(input.repository)
  return { kind: 'repository', path, created_by_project: false, ...(input.branch === undefined ? {} : { branch: input.branch }) }
}
