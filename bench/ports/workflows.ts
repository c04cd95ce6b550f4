import { activities, addUp } from '../systems/add-up.workflow.ts'
import { EXPECTED } from '../systems/system.ts'
import { type Prepare, TENANT } from './port.ts'

/** A workflow of five durable steps runs from start to end. */
export const prepareWorkflows: Prepare<'workflows'> = async (workflows) => {
  await workflows.start({ workflows: [addUp], activities })
  return {
    async one(index) {
      const runId = `run-${index}`
      await workflows.startRun({ workflow: addUp.name, runId, tenant: TENANT, input: {} })
      const output = await workflows.result<number>({ tenant: TENANT, runId })
      if (output !== EXPECTED) throw new Error(`${runId} gave ${output} instead of ${EXPECTED}`)
    },
  }
}
