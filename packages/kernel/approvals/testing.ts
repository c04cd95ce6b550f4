import type { ApprovalTerms } from '@soma/contracts/approval-terms'
import type { Principal } from '@soma/contracts/tenant'
import { openPostgresBroadcast } from '@soma/ports/broadcast/postgres'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import type { KnownPeople } from '../auth/people.ts'
import { canRefuse, person } from '../gate/testing.ts'
import type { ActionToApprove, Approval } from './approval.ts'
import { type ApprovalRequest, type Approvals, openApprovals } from './approvals.ts'

/** Approvals on a real database and journal, as two processes have them. */
export async function openTestApprovals() {
  const sql = await openTestSql()
  const journal = canRefuse(await openPostgresJournal(sql))
  const other = await openPostgresJournal(sql)
  const broadcast = await openPostgresBroadcast(sql)
  const people = {
    alone: false,
    /** Person behind each key. */
    keys: {} as Record<string, string>,
    /** What is known of what people may now. */
    capabilities: {} as Record<string, string[]>,
    in: async (): Promise<KnownPeople> => ({
      behind: (id) => people.keys[id] ?? id,
      capabilitiesOf: (id) => people.capabilities[id],
      isAlone: () => people.alone,
    }),
  }
  const parts = { sql, broadcast, people, expiresAfterSeconds: 3600 }
  const approvals = await openApprovals({ ...parts, journal })
  const elsewhere = await openApprovals({ ...parts, journal: other })
  return {
    sql,
    journal,
    broadcast,
    people,
    approvals,
    elsewhere,
    kinds: async (id: string, tenant = 'acme') => (await journal.read(tenant, `approval/${id}`)).map(({ kind }) => kind),
    async close() {
      await Promise.all([approvals.close(), elsewhere.close()])
      await broadcast.close()
      await Promise.all([journal.close(), other.close()])
      await sql.close()
    },
  }
}

export const TERMS: ApprovalTerms = { by: 1, capabilities: [], reasonRequired: false, self: 'never' }

export const PUSH: ActionToApprove = {
  name: 'tool.git.push',
  effect: 'write',
  resource: { kind: 'repository', branch: 'main' },
  arguments: { branch: 'main', force: false },
}

export const AGENT = person({ id: 'agent:coder.v1', kind: 'agent', onBehalfOf: 'user:ada' })

let runs = 0
/** An agent asks to push, in a run of its own unless it is said in which. */
export function question(more: Partial<ApprovalRequest> = {}): ApprovalRequest {
  const run = `run-${runs++}`
  return {
    principal: AGENT,
    action: PUSH,
    summary: 'Push to main?',
    reasons: [{ rule: 'ask', text: 'A person must agree.' }],
    terms: TERMS,
    run,
    place: 'push',
    key: `${run}:1`,
    ...more,
  }
}

export function named(name: string, more: Partial<Principal> = {}): Principal {
  return person({ id: `user:${name}`, ...more })
}

export function approve(approvals: Approvals, { id }: Pick<Approval, 'id'>, by: Principal = named('grace')): Promise<Approval> {
  return approvals.answer({ tenant: by.tenant, id, approve: true, by })
}
