import { type Client, WorkflowNotFoundError } from '@temporalio/client'
import { QUERY } from './protocol.ts'

/** What Temporal says about ids of activities that differ; see `activityIdOf` in the sandbox. */
const IDS = /Activity id of scheduled event '(?<expected>.+?)' does not match activity id of activity command '(?<got>.+?)'/s
/** How Temporal begins what it says about code that does not match, and how our own execution does. */
const DEPARTS = /nondeterminism|departs from its record/i
const EVENTS_READ = 20

/** Why a run stands still because its code does not match its record, undefined when it does not. A worker looks, by answering a query. */
export async function departureOf(client: Client, workflowId: string): Promise<string | undefined> {
  try {
    await client.workflow.getHandle(workflowId).query(QUERY.state)
    return undefined
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined
    const said = error instanceof Error ? error.message : String(error)
    const message = DEPARTS.test(said) ? said : await lastFailure(client, workflowId)
    return message && inOurWords(message)
  }
}

/** What made the run's last task fail: while it fails, Temporal asks no worker. */
async function lastFailure(client: Client, workflowId: string): Promise<string | undefined> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId },
    maximumPageSize: EVENTS_READ,
  })
  const failed = history?.events?.find(({ workflowTaskFailedEventAttributes }) => workflowTaskFailedEventAttributes)
  return failed?.workflowTaskFailedEventAttributes?.failure?.message ?? undefined
}

function inOurWords(message: string): string {
  const ids = IDS.exec(message)?.groups
  if (!ids) return message
  const { place, what: expected } = partsOf(ids.expected as string)
  const { what: got } = partsOf(ids.got as string)
  return `The workflow departs from its record at step ${place}: the record has activity ${expected}, the workflow asked for activity ${got}.`
}

/** `1 (first): double #0a1b2c3d`: the number behind the name stands for the input. */
function partsOf(id: string): { place: string; what: string } {
  const [, place = id, what = ''] = /^(\d+(?: \(.*?\))?): (.*)$/s.exec(id) ?? []
  return { place, what }
}
