import type { ObligationKind } from '@soma/contracts/obligations'
import type { Action, PolicyInput } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'

/** What the gate is asked: may this principal do this, here? */
export interface GateRequest {
  principal: Principal
  action: Action
  context: Partial<PolicyInput['context']>
  /** Obligations that the caller carries out itself. One that neither it nor the gate can carry out stops the action. */
  meets?: readonly ObligationKind[]
}
