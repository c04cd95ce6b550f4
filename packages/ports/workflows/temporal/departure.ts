import { type Client, WorkflowNotFoundError } from '@temporalio/client'

/** What Temporal says about ids of activities that differ; see `activityIdOf` in the sandbox. */
const IDS = /Activity id of scheduled event '(?<expected>.+?)' does not match activity id of activity command '(?<got>.+?)'/s
const EVENTS_READ = 20

/** Why a run stands still because its code does not match its record, undefined when it does not. */
export async function departureOf(client: Client, workflowId: string): Promise<string | undefined> {
  const attempts = await client.workflow
    .getHandle(workflowId)
    .describe()
    .then(({ raw }) => raw.pendingWorkflowTask?.attempt ?? 1)
    .catch((error) => {
      if (error instanceof WorkflowNotFoundError) return 1
      throw error
    })
  if (attempts < 2) return undefined
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId },
    maximumPageSize: EVENTS_READ,
  })
  const failure = history?.events?.find(({ workflowTaskFailedEventAttributes }) => workflowTaskFailedEventAttributes)
    ?.workflowTaskFailedEventAttributes?.failure
  return failure?.message ? inOurWords(failure.message) : undefined
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
