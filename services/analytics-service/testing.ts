import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Config } from '@soma/kernel/config/schema'
import { openChdb } from '@soma/ports/analytics/chdb'
import type { Analytics } from '@soma/ports/analytics/port'
import type { Journal } from '@soma/ports/journal/port'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import type { Sql } from '@soma/ports/sql/port'
import { openTestSql } from '@soma/ports/sql/testing'
import { ANALYTICS_MIGRATIONS } from './migrations.ts'

export const MONDAY = Date.parse('2026-03-02T08:00:00.000Z')
/** The time that many seconds after Monday's beginning. */
export const at = (seconds: number) => new Date(MONDAY + seconds * 1000).toISOString()

/** A server on any free port that answers also where a machine is so busy that it would refuse. */
export const UNHURRIED: Config['http'] = { ...Config.parse({}).http, port: 0, maxEventLoopDelayMilliseconds: 0 }

/** A store in a folder of its own, for a whole test file: a process serves one folder at a time. */
export async function openTestStore(): Promise<Analytics> {
  const directory = await mkdtemp(join(tmpdir(), 'soma-figures-'))
  const store = await openChdb({ directory })
  return {
    ...store,
    close: async () => {
      await store.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A database of its own, with a journal. */
export async function openTestJournal(): Promise<{ sql: Sql; journal: Journal; close(): Promise<void> }> {
  const sql = await openTestSql()
  const journal = await openPostgresJournal(sql)
  await sql.migrate('analytics', ANALYTICS_MIGRATIONS)
  return {
    sql,
    journal,
    close: async () => {
      await journal.close()
      await sql.close()
    },
  }
}

const decision = (verdict: string, score: number) => ({ verdict, score, reasons: [], obligations: [], policy: 'p' })

/** Writes to the journal what the platform writes when a tenant works. */
export function writerFor(journal: Journal, tenant: string) {
  const append = (stream: string, kind: string, payload: unknown, seconds: number) =>
    journal.append({ tenant, stream, expectedSeq: 'any', entries: [{ kind, payload, at: at(seconds) }] })
  return {
    append,
    begin: (run: string, workflow: string, seconds: number, name?: string) =>
      append(`run/${run}`, 'run.started', { workflow, generation: 1, input: name === undefined ? {} : { name } }, seconds),
    complete: (run: string, seconds: number, output: unknown = null) => append(`run/${run}`, 'run.completed', { output }, seconds),
    endProject: (id: string, status: 'done' | 'failed', seconds: number) =>
      append(`run/${id}`, 'run.completed', { output: { id, status, deliverables: [] } }, seconds),
    fail: (run: string, seconds: number) => append(`run/${run}`, 'run.failed', { error: { code: 'tool_failed', message: 'm' } }, seconds),
    cancel: (run: string, seconds: number) =>
      append(`run/${run}`, 'run.cancelled', { error: { code: 'cancelled', message: 'm' } }, seconds),
    act: (key: string, operation: string, milliseconds: number, seconds: number, score = 1) =>
      append(
        `action/${key}`,
        'action.completed',
        {
          operation,
          milliseconds,
          spent: { calls: 1, tokens: 10, costMicros: 7, seconds: milliseconds / 1000 },
          decision: decision('allow', score),
          output: {},
        },
        seconds,
      ),
    failAct: (key: string, operation: string, seconds: number) =>
      append(`action/${key}`, 'action.failed', { operation, error: { code: 'tool_failed', message: 'm', details: {} } }, seconds),
    refuse: (key: string, operation: string, seconds: number) =>
      append(`action/${key}`, 'action.refused', { operation, error: { code: 'policy_denied', message: 'm', details: {} } }, seconds),
    decide: (name: string, verdict: string, seconds: number, context: Record<string, unknown> = {}) =>
      append('gate/day', 'gate.decided', { action: { name }, decision: decision(verdict, verdict === 'deny' ? 0 : 1), context }, seconds),
    gate: (project: string, deliverable: string, verdict: string, seconds: number) =>
      append(
        'gate/day',
        'gate.decided',
        {
          action: { name: 'deliverable.start' },
          decision: decision(verdict, verdict === 'deny' ? 0 : 1),
          context: { project, deliverable },
        },
        seconds,
      ),
  }
}

/** A working day: a project that is done, one that failed, one that runs with something blocked, and a run that was cancelled. */
export async function writeWorkingDay(journal: Journal, tenant: string): Promise<void> {
  const write = writerFor(journal, tenant)
  await write.begin('prj-done', 'project', 0, 'Repository, "health"')
  await write.gate('prj-done', 'scan', 'allow', 1)
  await write.gate('prj-done', 'code', 'deny', 1)
  await write.gate('prj-done', 'code', 'allow', 5)
  for (const deliverable of ['scan', 'code']) await write.begin(`prj-done.${deliverable}`, 'agent-task', 6)
  await write.begin('prj-done.scan.2', 'capsule', 6)
  await write.act('run/prj-done.scan.2#1', 'git.log', 100, 7)
  await write.act('run/prj-done.scan.2#2', 'git.log', 300, 8, 0.5)
  await write.failAct('run/prj-done.scan.2#3', 'files.read', 8)
  await write.complete('prj-done.scan.2', 9)
  await write.complete('prj-done.scan', 9)
  await write.fail('prj-done.code', 10)
  await write.begin('prj-done.code.r2', 'agent-task', 11)
  await write.complete('prj-done.code.r2', 12)
  await write.endProject('prj-done', 'done', 20)

  await write.begin('prj-failed', 'project', 30, '=1+1')
  await write.gate('prj-failed', 'scan', 'allow', 31)
  await write.begin('prj-failed.scan', 'agent-task', 32)
  await write.refuse('run/prj-failed.scan.2#1', 'git.push', 33)
  await write.fail('prj-failed.scan', 34)
  await write.endProject('prj-failed', 'failed', 40)

  await write.begin('prj-open', 'project', 50, 'Open')
  await write.gate('prj-open', 'scan', 'deny', 51)

  await write.begin('run-1', 'capsule', 60)
  await write.cancel('run-1', 61)
  for (let second = 70; second < 75; second++) await write.decide('http.projects.list', 'allow', second)
  await write.decide('http.kill.pull', 'deny', 75)
  await write.append('approval/a', 'approval.requested', { action: 'tool.git.push', run: 'prj-done.scan.2' }, 76)
  await write.append('approval/a', 'approval.approved', { action: 'tool.git.push', run: 'prj-done.scan.2' }, 77)
  await write.append('kill', 'kill.pulled', { scope: 'tool' }, 78)
  await write.append('run/run-1', 'step.completed', { step: 1 }, 79)
}
