import type { Action, PolicyInput } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'

/** What the gate is asked: may this principal do this, here? */
export interface GateRequest {
  principal: Principal
  action: Action
  context: Partial<PolicyInput['context']>
}
