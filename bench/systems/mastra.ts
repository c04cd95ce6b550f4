import { Mastra } from '@mastra/core'
import { createStep, createWorkflow } from '@mastra/core/workflows'
import { PostgresStore } from '@mastra/pg'
import { z } from 'zod'
import { CONNECTIONS, type OpenSystem } from './system.ts'

const Sum = z.object({ sum: z.number() })

const add = (step: number) =>
  createStep({
    id: `add-${step}`,
    inputSchema: Sum,
    outputSchema: Sum,
    execute: async ({ inputData }) => ({ sum: inputData.sum + step }),
  })

/** Mastra by its guide: a workflow whose snapshot goes to PostgreSQL after each step, which is the default. */
export const openMastra: OpenSystem = async (connection) => {
  const storage = new PostgresStore({ ...connection, max: CONNECTIONS })
  await storage.init()
  const addUp = createWorkflow({ id: 'add-up', inputSchema: Sum, outputSchema: Sum })
    .then(add(1))
    .then(add(2))
    .then(add(3))
    .then(add(4))
    .then(add(5))
    .commit()
  const mastra = new Mastra({ storage, workflows: { addUp }, logger: false, telemetry: { enabled: false } })
  const workflow = mastra.getWorkflow('addUp')
  return {
    async runOnce(runId) {
      const run = await workflow.createRunAsync({ runId })
      const outcome = await run.start({ inputData: { sum: 0 } })
      if (outcome.status !== 'success') throw new Error(`Mastra's run ended as ${outcome.status}`)
      return outcome.result.sum
    },
    close: () => storage.close(),
  }
}
