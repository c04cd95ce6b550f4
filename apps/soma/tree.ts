import type { DeliverableState, DeliverableStatus, Project } from '@soma/contracts/project'
import { count, duration, money, oneLine, type Paint, pad, padLeft, paragraph, truncate, widthOf } from './text.ts'

/** What a person has to decide before something goes on. */
export interface PendingApproval {
  id: string
  summary: string
  deliverable?: string
  action: string
}

export interface TreeView {
  width: number
  hasUnicode: boolean
  paint: Paint
  /** Milliseconds since 1970. */
  now: number
  /** Turns the sign of what runs. */
  frame: number
  approvals: readonly PendingApproval[]
  /** How a command is typed here. */
  typed(command: string): string
}

const SIGNS: Record<DeliverableStatus, { unicode: string; ascii: string; colour: keyof Paint }> = {
  planned: { unicode: '·', ascii: ' ', colour: 'dim' },
  waiting: { unicode: '○', ascii: ' ', colour: 'dim' },
  running: { unicode: '◐', ascii: '>', colour: 'cyan' },
  done: { unicode: '✔', ascii: '+', colour: 'green' },
  failed: { unicode: '✖', ascii: 'x', colour: 'red' },
  blocked: { unicode: '■', ascii: '#', colour: 'red' },
  awaiting_approval: { unicode: '?', ascii: '?', colour: 'yellow' },
  rejected: { unicode: '✖', ascii: 'x', colour: 'yellow' },
  skipped: { unicode: '-', ascii: '-', colour: 'dim' },
  cancelled: { unicode: '-', ascii: '-', colour: 'dim' },
}
const SPINNER = ['◐', '◓', '◑', '◒']
const ASCII_SPINNER = ['|', '/', '-', '\\']
const ENDED: readonly string[] = ['done', 'failed', 'cancelled']
const TITLE_WIDTH = 44

/** A project as lines of text, as wide as the view. Nothing but its arguments decides what comes out. */
export function renderProject(project: Project, view: TreeView): string {
  const waves = [...new Set(project.deliverables.map(({ wave }) => wave))].sort((a, b) => a - b)
  const lines = [headline(project, view), ...spending(project, view)]
  for (const wave of waves) {
    lines.push('', view.paint.bold(`Wave ${wave}`))
    for (const each of project.deliverables) if (each.wave === wave) lines.push(...deliverableLines(project, each, view))
  }
  if (project.error) lines.push('', ...paragraph(`${project.error.code}: ${project.error.message}`, view.width).map(view.paint.red))
  return lines.join('\n')
}

function headline(project: Project, view: TreeView): string {
  const { paint, width } = view
  const elapsed = (project.endedAt ? Date.parse(project.endedAt) : view.now) - Date.parse(project.createdAt)
  const right = `${project.status}  ${duration(elapsed)}`
  const name = truncate(oneLine(project.name), width - widthOf(right) - widthOf(project.id) - 4, ellipsis(view))
  const gap = ' '.repeat(Math.max(2, width - widthOf(name) - 2 - widthOf(project.id) - widthOf(right)))
  return `${paint.bold(name)}  ${paint.dim(project.id)}${gap}${statusColour(project, paint)(right)}`
}

function statusColour({ status }: Project, paint: Paint): (text: string) => string {
  return { done: paint.green, failed: paint.red, cancelled: paint.red, waiting: paint.yellow }[status as string] ?? paint.cyan
}

/** `12 calls · $0.02 of $1.00 · 3 of 8 done` */
function spending({ budget: { limit, spent }, deliverables }: Project, view: TreeView): string[] {
  const of = (value: number, most: number | undefined, write: (value: number) => string) =>
    most === undefined ? write(value) : `${write(value)} of ${write(most)}`
  const number = (value: number) => value.toLocaleString('en')
  const parts = [
    `${deliverables.filter(({ status }) => status === 'done').length} of ${count(deliverables.length, 'deliverable')} done`,
    `${of(spent.calls ?? 0, limit.calls, number)} calls`,
    of(spent.costMicros ?? 0, limit.costMicros, money),
    ...((limit.tokens ?? spent.tokens) ? [`${of(spent.tokens ?? 0, limit.tokens, number)} tokens`] : []),
  ]
  return [view.paint.dim(truncate(parts.join(view.hasUnicode ? ' · ' : ', '), view.width, ellipsis(view)))]
}

function deliverableLines(project: Project, each: DeliverableState, view: TreeView): string[] {
  const { paint, width } = view
  const time = timeOf(project, each, view)
  const titleWidth = Math.min(TITLE_WIDTH, width - 16)
  const title = pad(truncate(oneLine(each.title), titleWidth, ellipsis(view)), titleWidth)
  const room = width - 4 - titleWidth - 2 - 8
  const detail = truncate(detailOf(each), room, ellipsis(view))
  const { colour } = SIGNS[each.status]
  const line = `  ${paint[colour](signOf(each, view))} ${each.status === 'running' ? paint.bold(title) : title}  ${paint.dim(pad(detail, room))}${padLeft(time, 8)}`
  return [line.trimEnd(), ...reasonLines(project, each, view)]
}

function signOf({ status }: DeliverableState, { hasUnicode, frame }: TreeView): string {
  const signs = hasUnicode ? SPINNER : ASCII_SPINNER
  if (status === 'running') return signs[frame % signs.length] as string
  return hasUnicode ? SIGNS[status].unicode : SIGNS[status].ascii
}

function timeOf(project: Project, { startedAt, endedAt, status }: DeliverableState, { now }: TreeView): string {
  if (!startedAt || status === 'waiting') return ''
  const end = endedAt ?? (ENDED.includes(project.status) ? project.endedAt : undefined)
  return duration((end ? Date.parse(end) : now) - Date.parse(startedAt))
}

/** What stands beside the title: steps and what is going on, or the state when that is not plain from its sign. */
function detailOf({ status, steps, message }: DeliverableState): string {
  if (status === 'running') return [steps ? `${steps.done}/${steps.total}` : '', message ? oneLine(message) : ''].filter(Boolean).join(' ')
  return (
    { blocked: 'blocked', awaiting_approval: 'your word', rejected: 'rejected', failed: 'failed', skipped: 'skipped' }[status as string] ??
    ''
  )
}

/** Why it does not go on, and what to type. */
function reasonLines(project: Project, each: DeliverableState, view: TreeView): string[] {
  const why =
    each.status === 'running' || each.status === 'done' || !each.message ? [] : paragraph(each.message, view.width, 4).map(view.paint.dim)
  const asked = view.approvals.filter((approval) => approval.deliverable === each.id)
  const type = (command: string) => `    ${view.hasUnicode ? '→' : '->'} ${view.paint.cyan(view.typed(command))}`
  if (each.status === 'blocked') return [...why, type(`project resolve ${project.id} ${each.id}`)]
  if (asked.length > 0)
    return [
      ...why,
      ...asked.flatMap(({ id, action, summary }) => [
        ...(each.status === 'running' ? paragraph(`${action}: ${summary}`, view.width, 4).map(view.paint.dim) : []),
        type(`approve ${id}`),
      ]),
    ]
  return why
}

function ellipsis({ hasUnicode }: TreeView): string {
  return hasUnicode ? '…' : '...'
}

/** What changed since `before`, a line each: for logs and pipes, where nothing can be redrawn. */
export function changedLines(before: Project | undefined, now: Project, view: TreeView): string[] {
  const lines: string[] = []
  const stamp = duration(view.now - Date.parse(now.createdAt)).padStart(7)
  if (!before) lines.push(`${stamp}  ${oneLine(now.name)}  ${now.id}`)
  if (before?.status !== now.status) lines.push(`${stamp}  project ${now.status}`)
  for (const each of now.deliverables) {
    const was = before?.deliverables.find(({ id }) => id === each.id)
    if (was?.status === each.status || ['planned', 'waiting'].includes(each.status)) continue
    const time = each.status === 'running' ? '' : timeOf(now, each, view)
    const sign = view.hasUnicode ? SIGNS[each.status].unicode : SIGNS[each.status].ascii
    const words = [`${sign} ${each.id}`, each.status.replace('_', ' '), time].filter(Boolean).join('  ')
    lines.push(
      `${stamp}  ${words}`,
      ...(each.status === 'running' || each.status === 'done' ? [] : each.message ? paragraph(each.message, view.width, 11) : []),
    )
  }
  if (now.error && !before?.error) lines.push(...paragraph(`${now.error.code}: ${now.error.message}`, view.width, 9))
  return lines
}
