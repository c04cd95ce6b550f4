import { defineWorkflow } from '@soma/contracts/workflow'
import { STEPS } from './system.ts'

/** Five durable steps in sequence; each adds its number. */
export const addUp = defineWorkflow({
  name: 'add-up',
  module: import.meta.url,
  run: async (context) => {
    let sum = 0
    for (let step = 1; step <= STEPS; step++) sum = await context.activity<number>('add', { sum, step })
    return sum
  },
})

export const activities = { add: async ({ sum, step }: { sum: number; step: number }) => sum + step }
