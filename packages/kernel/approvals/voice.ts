import { SomaError } from '@soma/contracts/errors'
import { holds, type Principal } from '@soma/contracts/tenant'
import type { KnownPeople } from '../auth/people.ts'
import type { Approval } from './approval.ts'
import { APPROVAL_DECIDE, type Delegation } from './delegations.ts'

/** In whose name somebody's word counts. */
export interface Voice {
  by: string
  /** Who delegated to them, when it is that which lets them decide. */
  onBehalfOf?: string
}

export interface VoiceQuestion {
  approval: Approval
  by: Principal
  approve: boolean
  /** For whom the person wants to stand in; without it their own right counts first. */
  onBehalfOf?: string
  /** In force, and given to the person. */
  delegations: readonly Delegation[]
  known: KnownPeople
}

/**
 * Whether somebody's word on an approval counts, and in whose name: their own right first, else that of who delegated to them.
 * @throws `forbidden` with why not
 */
export function voiceOf(question: VoiceQuestion): Voice {
  const { approval, by, approve, onBehalfOf, delegations, known } = question
  if (by.kind === 'agent' || by.id.startsWith('service:'))
    throw new SomaError('forbidden', `${by.id} is no person, and only people answer approvals.`, { approval: approval.id })
  // Whoever asked may take it back.
  if (!approve && isAsker(approval, known, by.id)) return { by: by.id }
  let why: SomaError | undefined
  for (const right of [by, ...delegations.map((delegation) => rightOf(delegation, known))]) {
    if (onBehalfOf !== undefined && right.id !== onBehalfOf) continue
    const refused = refusalOf(right, question)
    if (!refused) return right === by ? { by: by.id } : { by: by.id, onBehalfOf: right.id }
    why ??= refused
  }
  throw why ?? new SomaError('forbidden', `${onBehalfOf} has not delegated approvals to ${by.id} for now.`, { onBehalfOf })
}

type Right = Pick<Principal, 'id' | 'capabilities' | 'within'>

/** What a delegator lends: what they had then, within what they have now as far as that is known. */
function rightOf({ from, capabilities, within }: Delegation, known: KnownPeople): Right {
  const now = known.capabilitiesOf(from)
  return { id: from, capabilities, within: now === undefined ? within : [...within, now] }
}

/** Why a right, one's own or that of a delegator, does not let the person say this. */
function refusalOf(right: Right, { approval, by, approve, known }: VoiceQuestion): SomaError | undefined {
  const { id, terms } = approval
  const needed = [APPROVAL_DECIDE, ...terms.capabilities]
  const missing = needed.find((capability) => !holds(right, capability))
  if (missing)
    return new SomaError('forbidden', `${right.id} does not hold ${missing}, which whoever answers approval ${id} needs.`, {
      approval: id,
      capability: missing,
    })
  const asker = approve ? [right.id, by.id].find((each) => isAsker(approval, known, each)) : undefined
  if (asker === undefined || terms.self === 'always') return undefined
  if (terms.self === 'alone' && known.isAlone(known.behind(by.id), needed)) return undefined
  const why = terms.self === 'alone' ? 'as there are others who can' : 'as the constitution has it'
  return new SomaError('forbidden', `${asker} asked for this, so somebody else must approve it, ${why}.`, { approval: id, askedBy: asker })
}

/** True for whoever stands behind the one who asks, or behind the one whom an agent acts for. */
function isAsker({ requestedBy, onBehalfOf }: Approval, { behind }: KnownPeople, id: string): boolean {
  return [requestedBy, onBehalfOf].some((asker) => asker !== undefined && behind(asker) === behind(id))
}
