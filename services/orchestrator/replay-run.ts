import type { Capsule } from '@soma/contracts/capsule'
import type { CapsuleRunInput } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { ReplayResult, Workflows } from '@soma/ports/workflows/port'

export interface ReplayedRun extends Pick<ReplayResult, 'matched' | 'same' | 'departure'> {
  runId: string
  workflow: string
}

export interface WholeReplay {
  same: boolean
  runs: ReplayedRun[]
  output?: unknown
  error?: { code: string; message: string }
}

/**
 * Replays a run and everything that ran for it.
 * @param changed a capsule to replay every run of the capsule by that name with
 */
export async function replayRun(
  workflows: Workflows,
  tenant: string,
  runId: string,
  changed?: { capsule: Capsule; digest: string },
): Promise<WholeReplay> {
  const first = await replayOne(workflows, tenant, runId, changed)
  const runs = [first.run]
  for (const child of first.children) runs.push(...(await replayRun(workflows, tenant, child, changed)).runs)
  const { output, error } = first
  return { same: runs.every((run) => run.same), runs, ...(output === undefined ? {} : { output }), ...(error ? { error } : {}) }
}

async function replayOne(workflows: Workflows, tenant: string, runId: string, changed?: { capsule: Capsule; digest: string }) {
  const description = await workflows.describe({ tenant, runId })
  if (!description) throw new SomaError('not_found', `There is no run ${runId}.`, { runId })
  const history = await workflows.history({ tenant, runId })
  const recorded = (history[0]?.payload as { input: unknown } | undefined)?.input
  const { matched, same, departure, output, error } = await workflows.replay({
    tenant,
    runId,
    input: exchange(description.workflow, recorded, changed),
  })
  const children = history.filter((entry) => entry.kind === 'child.started').map((entry) => (entry.payload as { runId: string }).runId)
  return { run: { runId, workflow: description.workflow, matched, same, ...(departure ? { departure } : {}) }, children, output, error }
}

function exchange(workflow: string, recorded: unknown, changed?: { capsule: Capsule; digest: string }): unknown {
  if (!changed || workflow !== 'capsule') return undefined
  const input = recorded as CapsuleRunInput
  return input.capsule.metadata.name === changed.capsule.metadata.name ? { ...input, ...changed } : undefined
}
