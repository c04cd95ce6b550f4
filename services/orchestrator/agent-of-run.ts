import { operationLimits, withinCapsule } from '@soma/capsule/permissions'
import type { CapsuleRunInput } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { Journal } from '@soma/ports/journal/port'
import { type StartedPayload, streamOf } from '@soma/ports/workflows/execution/record'

/** What every agent needs to act at all, besides the tools that its capsule names. Who started the run must hold it too. */
const NEEDED_BY_AGENTS = ['me.read', 'tool.read', 'tool.call', 'token.issue']

/**
 * Who acts in the run of a capsule: what the person who started it may ∩ what the plan names for the persona ∩ the capsule's permissions.
 * @throws `not_found`; `conflict` for a run in which no capsule acts by itself
 */
export async function agentOfRun(journal: Journal, tenant: string, run: string): Promise<Principal> {
  const start = await startOf(journal, tenant, run)
  if (start.workflow !== 'capsule')
    throw new SomaError('conflict', `${run} runs capsules and is none itself; ask for a token of one of their runs.`, {
      workflow: start.workflow,
    })
  const { capsule, principal, limits } = start.input as CapsuleRunInput
  const { mfa, mfaAt, capabilities, within, onBehalfOf = principal.id } = withinCapsule(principal, capsule)
  const ownLimits = (await starterOf(journal, tenant, start)).within.length
  return {
    id: principal.kind === 'agent' ? principal.id : `agent:${capsule.metadata.name}`,
    kind: 'agent',
    tenant,
    capabilities,
    // The first limits are the starter's own and stay as they are; those of persona and capsule speak of tools alone.
    within: within.map((limit, index) => (index < ownLimits ? limit : [...limit, ...NEEDED_BY_AGENTS])),
    tools: operationLimits(capsule, limits),
    run,
    onBehalfOf,
    ...(mfa === undefined ? {} : { mfa }),
    ...(mfaAt === undefined ? {} : { mfaAt }),
  }
}

/** Who started what the run is part of, as it was then. */
async function starterOf(journal: Journal, tenant: string, start: StartedPayload): Promise<Principal> {
  if (start.parent) return starterOf(journal, tenant, await startOf(journal, tenant, start.parent.runId))
  return (start.input as { principal: Principal }).principal
}

async function startOf(journal: Journal, tenant: string, run: string): Promise<StartedPayload> {
  const [entry] = await journal.read(tenant, streamOf(run, 1), { limit: 1 })
  if (entry) return entry.payload as StartedPayload
  throw new SomaError('not_found', `There is no run ${run}.`, { run })
}
