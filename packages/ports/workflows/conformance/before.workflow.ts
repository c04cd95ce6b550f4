import { defineWorkflow } from '@soma/contracts/workflow'

/** Workflows as they were before the change that `after.workflow.ts` holds. */
export const changing = defineWorkflow({
  name: 'changing',
  module: import.meta.url,
  run: async (context) => {
    await context.activity('double', { step: 1 }, { label: 'first' })
    await context.waitForSignal('on')
    return 'before'
  },
})

export const asking = defineWorkflow({
  name: 'asking',
  module: import.meta.url,
  run: async (context) => {
    await context.activity('double', { step: 1 }, { label: 'first' })
    return context.waitForSignal('on')
  },
})

export const evolving = defineWorkflow({
  name: 'evolving',
  module: import.meta.url,
  run: async (context) => {
    await context.activity('double', { step: 1 })
    await context.waitForSignal('on')
    return 'old'
  },
})
