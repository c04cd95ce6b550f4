import { Constitution } from '@soma/contracts/constitution'
import { SomaError } from '@soma/contracts/errors'
import type { Action } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'
import { openPostgresBroadcast } from '@soma/ports/broadcast/postgres'
import type { AppendRequest, Journal } from '@soma/ports/journal/port'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { compileConstitution } from '@soma/ports/policy/compile'
import type { PolicyData } from '@soma/ports/policy/port'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import type { Sql } from '@soma/ports/sql/port'
import { openTestSql } from '@soma/ports/sql/testing'
import type { z } from 'zod'
import { openKillSwitches } from '../kill/kill-switches.ts'
import { createDecisionLog } from './decision-log.ts'
import { createGate, type PolicySource } from './gate.ts'
import { openLimits } from './limits.ts'

/** The gate on a real database, journal and policy. `journal.refuses` makes appends fail as a full disk would. */
export async function openTestGate(options: { sql?: Sql; source?: PolicySource } = {}) {
  const sql = options.sql ?? (await openTestSql())
  const journal = canRefuse(await openPostgresJournal(sql))
  const broadcast = await openPostgresBroadcast(sql)
  const kill = await openKillSwitches({ sql, broadcast, journal })
  const policy = await openWasmPolicy()
  const decisions = createDecisionLog(journal)
  const limits = await openLimits(sql)
  const gate = createGate({ policy, source: options.source ?? { read: async () => RULES }, kill, limits, decisions })
  return {
    sql,
    journal,
    broadcast,
    kill,
    policy,
    decisions,
    gate,
    async close() {
      await kill.close()
      await broadcast.close()
      await journal.close()
      await policy.close()
      if (!options.sql) await sql.close()
    },
  }
}

export interface RefusingJournal extends Journal {
  refuses: (request: AppendRequest) => boolean
}

/** A journal that can be made to refuse appends. */
export function canRefuse(journal: Journal): RefusingJournal {
  const refusing: RefusingJournal = {
    ...journal,
    refuses: () => false,
    append: (...requests) =>
      requests.some((request) => refusing.refuses(request))
        ? Promise.reject(new SomaError('audit_unavailable', 'The journal could not be written: no space left.'))
        : journal.append(...requests),
  }
  return refusing
}

type Rule = z.input<typeof Constitution>['rules'][number]

export function policyOf(...rules: Rule[]): PolicyData {
  const kind = { apiVersion: 'soma.dev/v1', kind: 'Constitution', metadata: { name: 'test', version: '1.0.0' } }
  return compileConstitution([Constitution.parse({ ...kind, rules })])
}

/** Whoever holds the capability may act, but `tool.forbidden` is denied and `tool.asked` needs a person. */
export const RULES = policyOf(
  { id: 'allowed', says: 'Holders may act.', applies: { actions: ['*'] }, decide: 'allow' },
  { id: 'no', says: 'This is forbidden.', applies: { actions: ['tool.forbidden.*'] }, decide: 'deny' },
  { id: 'ask', says: 'A person must agree.', applies: { actions: ['tool.asked.*'] }, decide: 'needs_approval' },
)

export function person(more: Partial<Principal> = {}): Principal {
  return { id: 'user:ada', kind: 'user', tenant: 'acme', capabilities: ['*'], within: [], ...more }
}

export function toolCall(name: string, more: Partial<Action> = {}): Action {
  return { name: `tool.${name}`, capability: 'tool.demo.write', effect: 'write', resource: {}, ...more }
}
