import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ProvisionInput, ProvisionOutput } from '@soma/contracts/project-run'
import type { ActivityContext } from '@soma/contracts/workflow'
import type { Parts } from './parts.ts'

/** Makes what a project works with: its folder and its budgets. Doing it again changes nothing. */
export function projectProvision({ folder, budgets }: Parts) {
  return async ({ project, dryRun, budgets: wanted }: ProvisionInput, { tenant }: ActivityContext): Promise<ProvisionOutput> => {
    const workspace = join(await folder('workspaces'), tenant, project)
    const actions = [`make folder ${workspace}`, ...wanted.map(({ id }) => `open budget ${id}`)]
    if (dryRun) return { workspace, actions }
    await mkdir(workspace, { recursive: true })
    for (const { id, limit } of wanted) await budgets.open(tenant, id, limit)
    return { workspace, actions }
  }
}
