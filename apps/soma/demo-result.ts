import type { Project } from '@soma/contracts/project'
import type { ReportFiles } from './reports.ts'
import { type Session, shellWord, shownPath } from './session.ts'
import { duration } from './text.ts'
import type { PendingApproval } from './tree.ts'

export interface DemoOutcome {
  project: Project
  approvals: readonly PendingApproval[]
  reports: ReportFiles | undefined
  ledger: { position: string; hash: string }
  /** When the process began, milliseconds since 1970; the others count from there. */
  began: number
  up: number
  total: number
}

export type DemoResult = ReturnType<typeof demoResult>

/** What a program that ran the demo wants to know. */
export function demoResult({ project, approvals, reports, ledger, began, up, total }: DemoOutcome) {
  const ends = project.deliverables.flatMap(({ status, endedAt }) => (status === 'done' && endedAt ? [Date.parse(endedAt) - began] : []))
  return {
    project: project.id,
    status: project.status,
    ...(project.error ? { error: project.error } : {}),
    deliverables: project.deliverables.map(({ id, title, status, wave, startedAt, endedAt, message }) => ({
      id,
      title,
      status,
      wave,
      seconds: startedAt && endedAt ? seconds(Date.parse(endedAt) - Date.parse(startedAt)) : null,
      ...(message ? { message } : {}),
    })),
    approvals: approvals.map(({ id, deliverable, summary }) => ({ id, deliverable, summary })),
    report: reports ?? null,
    ledger: { position: ledger.position, hash: ledger.hash },
    review: project.review ?? null,
    budget: project.budget,
    /** Since the process began; an install is not part of it. */
    seconds: { up: seconds(up), firstDeliverable: ends.length > 0 ? seconds(Math.min(...ends)) : null, total: seconds(total) },
  }
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 10) / 100
}

/** Done, or all that is left is for people and policy to say. */
export function isWell({ status, deliverables }: Pick<Project, 'status' | 'deliverables'>): boolean {
  return ['done', 'waiting', 'running'].includes(status) && deliverables.every((each) => each.status !== 'failed')
}

/** The same for people, with what they may type next. */
export function describeDemo(result: DemoResult, { typed, cwd }: Pick<Session, 'typed' | 'cwd'>, isOver: boolean): string {
  const path = (file: string) => shellWord(shownPath(file, cwd))
  const { up, firstDeliverable, total } = result.seconds
  const first = firstDeliverable === null ? '' : `, first deliverable after ${duration(firstDeliverable * 1000)}`
  const { report, ledger, project, approvals } = result
  return [
    '',
    `Up after ${duration(up * 1000)}${first}, ${duration(total * 1000)} in all.`,
    ...(report ? [`Report    ${path(report.html)}`, `Evidence  ${path(report.evidence)}`] : ['No report was made.']),
    `Ledger    ${ledger.position} ${ledger.hash.slice(0, 16)}…`,
    '',
    'Try next:',
    ...(report ? [`  ${typed(`audit verify ${path(report.evidence)}`)}`] : []),
    ...(isOver ? [`  ${typed('start')}    # then, in another terminal:`] : []),
    ...approvals.map(({ id }) => `  ${typed(`approve ${id}`)}`),
    `  ${typed(`project show ${project}`)}`,
    `  ${typed(`replay ${project}`)}`,
    `  ${typed('tool list git')}`,
  ].join('\n')
}
