import { evaluateValue } from '@soma/capsule/expression'
import type { CapsuleResolveInput, CapsuleResolveOutput, CapsuleRunInput, CapsuleRunResult } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { AgentTaskInput, AgentTaskResult } from '@soma/contracts/project-run'
import { defineWorkflow, type WorkflowContext } from '@soma/contracts/workflow'

/**
 * Makes one deliverable: resolves its capsule, runs it with what it depends on in scope, and looks whether the result is what was
 * asked for.
 * @throws SomaError of the capsule's run; `invalid_input` when the acceptance does not hold
 */
export const agentTaskWorkflow = defineWorkflow({
  name: 'agent-task',
  module: import.meta.url,
  run: async (context: WorkflowContext, input: AgentTaskInput): Promise<AgentTaskResult> => {
    const { deliverable, project } = input
    const resolve: CapsuleResolveInput = {
      reference: deliverable.capsule,
      tenant: context.tenant,
      run: context.runId,
      step: deliverable.id,
    }
    const { capsule, digest, budget } = await context.activity<CapsuleResolveOutput>('capsule.resolve', resolve, { label: 'resolve' })
    const run: CapsuleRunInput = {
      capsule,
      digest,
      inputs: evaluateValue(deliverable.inputs, input.scope, `inputs of deliverable "${deliverable.id}"`) as Record<string, unknown>,
      principal: {
        ...input.principal,
        id: `agent:${deliverable.persona}`,
        kind: 'agent',
        onBehalfOf: input.principal.id,
        within: [...input.principal.within, capabilitiesOf(deliverable.tools)],
      },
      project,
      deliverable: deliverable.id,
      workspace: input.workspace,
      budgets: budget ? [...input.budgets, budget] : input.budgets,
      // The capsule may do no more than the plan says, operation by operation.
      limits: [deliverable.tools],
      labels: input.labels,
      approvals: input.approvals,
    }
    const result = await context.child<CapsuleRunResult>('capsule', run)
    if (deliverable.acceptance !== undefined) {
      const accepted = evaluateValue(
        `\${{ ${deliverable.acceptance} }}`,
        { output: result.output },
        `acceptance of deliverable "${deliverable.id}"`,
      )
      if (accepted !== true)
        throw new SomaError('invalid_input', `What came out is not what was asked for: ${deliverable.acceptance} is not true.`, {
          acceptance: deliverable.acceptance,
        })
    }
    return result
  },
})

/** What the plan names, as capabilities: the gate knows adapters, the run's limits know operations. */
function capabilitiesOf(tools: readonly string[]): string[] {
  return [...new Set(tools.map((pattern) => `tool.${pattern.split('.')[0]}.*`))]
}
