import type { Adapter } from '@soma/contracts/operation'
import type { Principal } from '@soma/contracts/tenant'
import type { Journal } from '@soma/ports/journal/port'

/** Of what came from outside: whoever wrote it must not decide what happens here. */
export const UNTRUSTED = 'untrusted'

/** The label of what an adapter brought from outside. */
export function untrustedFrom({ source }: Pick<Adapter, 'source'>): string {
  return source ? `${UNTRUSTED}.${source}` : UNTRUSTED
}

/**
 * The labels of everything that an agent has read in its run. A capsule's steps say which data each of them uses; an agent has all of
 * it in its head, so all of it led to whatever it does next.
 */
export interface RunLabels {
  of(agent: Principal): Promise<string[]>
  /**
   * On disk when it resolves, so before the agent is shown what bears them. What is written down once stays, in every process and
   * across restarts.
   * @param cause the action that showed it
   */
  add(agent: Principal, labels: readonly string[], cause: string): Promise<void>
}

export function createRunLabels(journal: Journal): RunLabels {
  async function of(agent: Principal): Promise<string[]> {
    // Nobody can say what an agent has read that belongs to no run.
    if (agent.run === undefined) return [UNTRUSTED]
    const entries = await journal.read(agent.tenant, streamOf(agent.run))
    return union(...entries.map(({ payload }) => (payload as { labels: string[] }).labels))
  }

  return {
    of,
    async add(agent, labels, cause) {
      if (agent.run === undefined) return
      const seen = await of(agent)
      const added = labels.filter((label) => !seen.includes(label))
      if (added.length === 0) return
      const entries = [{ kind: 'run.labelled', payload: { labels: added, agent: agent.id, cause } }]
      await journal.append({ tenant: agent.tenant, stream: streamOf(agent.run), expectedSeq: 'any', entries })
    },
  }
}

const streamOf = (run: string) => `labels/${run}`

export function union(...lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())].sort()
}
