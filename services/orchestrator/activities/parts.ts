import type { Needs, ServiceContext } from '@soma/kernel/http/service'

/** What the activities stand on. */
export type Parts = ServiceContext &
  Pick<Needs, 'approvals' | 'budgets' | 'gate' | 'journal' | 'ledger' | 'operations' | 'performAction' | 'sql'>
