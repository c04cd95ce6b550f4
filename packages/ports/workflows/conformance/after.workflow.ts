import { defineWorkflow } from '@soma/contracts/workflow'

/** The workflows of `before.workflow.ts`, changed. */
export const changing = defineWorkflow({
  name: 'changing',
  module: import.meta.url,
  run: async (context) => {
    await context.activity('triple', { step: 1 }, { label: 'first' })
    return 'after'
  },
})

export const asking = defineWorkflow({
  name: 'asking',
  module: import.meta.url,
  run: async (context) => {
    await context.activity('double', { step: 2 }, { label: 'first' })
    return context.waitForSignal('on')
  },
})

export const evolving = defineWorkflow({
  name: 'evolving',
  module: import.meta.url,
  run: async (context) => {
    if (await context.patched('triple-instead')) return context.activity('triple', { step: 1 })
    await context.activity('double', { step: 1 })
    await context.waitForSignal('on')
    return 'old'
  },
})
