import { DELIVERABLE_START } from '@soma/kernel/approvals/approval'
import type { ServiceContext } from '@soma/kernel/http/service'
import type { Journal } from '@soma/ports/journal/port'
import type { Fact } from './facts.ts'

const DURATIONS = [1, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400]

/**
 * The Prometheus metrics of KAMACHIQ, fed by facts.
 * @returns looks what facts mean for the metrics; what that returns counts them
 */
export function createProjectMetrics({ journal, metrics }: { journal: Journal } & Pick<ServiceContext, 'metrics'>) {
  const runs = metrics.counter({ name: 'kamachiq_runs_total', help: 'Projects that ended.', labels: ['status'] })
  // Prometheus sees no increase in a figure that it sees for the first time.
  for (const status of ['done', 'failed', 'cancelled']) runs.inc({ status }, 0)
  const durations = metrics.histogram({
    name: 'kamachiq_run_duration_seconds',
    help: 'From the start of a project to its end, waiting for people included.',
    buckets: DURATIONS,
  })
  const blocks = metrics.counter({
    name: 'kamachiq_governance_block_total',
    help: 'Times that policy did not let a deliverable begin. One that is asked about again counts again.',
  })

  async function secondsOfProject({ tenant, run, at }: Fact): Promise<number | undefined> {
    const [started] = await journal.read(tenant, `run/${run}`, { limit: 1 })
    if ((started?.payload as { workflow?: string } | undefined)?.workflow !== 'project') return undefined
    return (Date.parse(at) - Date.parse(started?.at as string)) / 1000
  }

  return async (facts: readonly Fact[]): Promise<() => void> => {
    const ends = facts.filter(({ kind, level }) => kind.startsWith('run.') && kind !== 'run.started' && level === 'root')
    const ended = await Promise.all(ends.map(async (end) => ({ status: end.status, seconds: await secondsOfProject(end) })))
    const blocked = facts.filter(({ action, verdict, root }) => action === DELIVERABLE_START && verdict === 'deny' && root !== undefined)
    return () => {
      for (const { status = '', seconds } of ended) {
        if (seconds === undefined) continue
        runs.inc({ status })
        durations.observe(seconds)
      }
      blocks.inc(blocked.length)
    }
  }
}
