import type { WorkflowDefinition } from '@soma/contracts/workflow'
import { workflowInfo } from '@temporalio/workflow'
import type { RunStart } from '../protocol.ts'
import { runInSandbox } from './run.ts'

/** The one function that Temporal calls, for workflows of every name. @param modules their exports hold the definitions */
export function serve(modules: readonly object[]): (start: RunStart, input: unknown) => Promise<unknown> {
  const definitions = new Map(modules.flatMap((module) => Object.values(module).filter(isDefinition)).map((each) => [each.name, each]))
  return (start, input) => {
    const { workflowType } = workflowInfo()
    const definition = definitions.get(workflowType)
    // Temporal keeps the run where it is until a worker knows the workflow.
    if (!definition) throw new Error(`No workflow "${workflowType}" is in this worker. There are: ${[...definitions.keys()].join(', ')}.`)
    return runInSandbox(definition.run, start, input)
  }
}

function isDefinition(exported: unknown): exported is WorkflowDefinition {
  const { name, module, run } = (exported ?? {}) as Partial<WorkflowDefinition>
  return typeof name === 'string' && typeof module === 'string' && typeof run === 'function'
}
