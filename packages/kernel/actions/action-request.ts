import type { PolicyInput } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'

/** One call of an operation, by a run's step, a person or an agent. */
export interface ActionRequest {
  operation: string
  input: unknown
  principal: Principal
  /** Idempotency key: two requests with one key are one action. */
  key: string
  /** True when the key may have been used before: after a crash, or on another attempt. */
  mayExist: boolean
  /** What of the run asks: a step. Asked again from there under another key, it is still the same approval that is waited for. Default: the key. */
  place?: string
  context: Partial<Omit<PolicyInput['context'], 'at'>>
  /** Budgets to charge, besides the tenant's. */
  budgets: readonly string[]
  /** Folder of the run's own, absolute. */
  workspace: string
  signal: AbortSignal
  /** For the call itself, instead of what the operation declares. */
  timeoutSeconds?: number
  /** What a kill switch does to the action: have it wait until the switch is lifted, or be refused. Default `hold`. */
  whenKilled?: 'hold' | 'refuse'
  onProgress?(message: string, fraction?: number): void
}
