import type { PresentRights } from '@soma/kernel/auth/present-rights'
import type { Needs, ServiceContext } from '@soma/kernel/http/service'

/** What the activities stand on. */
export type Parts = ServiceContext &
  Pick<Needs, 'approvals' | 'budgets' | 'gate' | 'journal' | 'ledger' | 'operations' | 'performAction' | 'sql'> & {
    /** What a run acts by, within what the person behind it may now. */
    presentRights: PresentRights
  }
