import { z } from 'zod'

/** Amounts a budget limits. A missing field is not limited (in a limit) or nothing (in an amount). */
export const BudgetAmount = z.strictObject({
  tokens: z.number().int().min(0).optional().describe('Model tokens, prompt and completion'),
  costMicros: z.number().int().min(0).optional().describe('Money, in millionths of a US dollar'),
  calls: z.number().int().min(0).optional().describe('Tool and model calls'),
  seconds: z.number().min(0).optional().describe('Wall-clock time of actions, summed'),
})
export type BudgetAmount = z.infer<typeof BudgetAmount>

export const BudgetState = z.object({
  id: z.string(),
  limit: BudgetAmount,
  reserved: BudgetAmount,
  spent: BudgetAmount,
})
export type BudgetState = z.infer<typeof BudgetState>
