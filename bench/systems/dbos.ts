import { DBOS } from '@dbos-inc/dbos-sdk'
import { urlOf } from '../child.ts'
import { CONNECTIONS, type OpenSystem, STEPS } from './system.ts'

async function addUp(): Promise<number> {
  let sum = 0
  for (let step = 1; step <= STEPS; step++) {
    const before = sum
    sum = await DBOS.runStep(async () => before + step, { name: `add-${step}` })
  }
  return sum
}

/** DBOS Transact by its programming guide: a registered workflow of steps, called directly. */
export const openDbos: OpenSystem = async (connection) => {
  const run = DBOS.registerWorkflow(addUp, { name: 'add-up' })
  DBOS.setConfig({
    name: 'bench',
    applicationVersion: '1.0.0',
    systemDatabaseUrl: urlOf(connection),
    systemDatabasePoolSize: CONNECTIONS,
    logLevel: 'error',
  })
  await DBOS.launch()
  return {
    runOnce: (workflowID) => DBOS.withNextWorkflowID(workflowID, () => run()),
    close: () => DBOS.shutdown(),
  }
}
