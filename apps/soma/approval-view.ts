import type { Session } from './session.ts'
import type { Terminal } from './terminal.ts'
import { duration, oneLine, paragraph, table } from './text.ts'

/** An approval as far as it is listed. */
export interface ListedApproval {
  id: string
  status: string
  action: string
  summary: string
  expiresAt: string
  words: { by: string; onBehalfOf?: string; approve: boolean; reason?: string; at: string }[]
  terms: { by: number; capabilities: string[]; reasonRequired: boolean; self: string }
}

export interface ShownApproval extends ListedApproval {
  effect: string
  resource: Record<string, unknown>
  text: string
  reversedBy?: string
  labels: string[]
  reasons: { rule: string; text: string }[]
  requestedBy: string
  onBehalfOf?: string
  run?: string
  project?: string
  deliverable?: string
  digest: string
  requestedAt: string
  usedAt?: string
}

type View = Pick<Terminal, 'width' | 'paint'>

/** Characters of an id that are shown in a list; the id itself is in the answer as JSON. */
export function renderApprovals(approvals: readonly ListedApproval[], { width, paint }: View, now: number): string {
  if (approvals.length === 0) return 'Nothing waits for anybody.'
  return approvals
    .flatMap((each) => [
      paint.bold(oneLine(each.id)),
      table([[`  ${stateOf(each, now)}`, oneLine(each.action)]], width),
      ...paragraph(each.summary, width, 2),
    ])
    .join('\n')
}

/** `pending, 1 of 2, 3:05:00 left` */
function stateOf({ status, words, terms, expiresAt }: ListedApproval, now: number): string {
  if (status !== 'pending') return status
  const count = terms.by > 1 ? `, ${words.length} of ${terms.by}` : ''
  return `pending${count}, ${duration(Date.parse(expiresAt) - now)} left`
}

/** Everything that whoever decides has to know, what will be done in the middle. */
export function renderApproval(approval: ShownApproval, view: View & Pick<Session, 'typed'>, now: number): string {
  const { width, paint, typed } = view
  const { id, action, effect, resource, text, labels, reasons, words, usedAt, digest } = approval
  const place = [approval.project && `project ${approval.project}`, approval.deliverable, approval.run && `run ${approval.run}`]
  const facts = [
    ['Id', id],
    ['State', usedAt === undefined ? stateOf(approval, now) : `${approval.status}, used ${usedAt}`],
    ['Asked by', approval.onBehalfOf ? `${approval.requestedBy} for ${approval.onBehalfOf}` : approval.requestedBy],
    ['Where', place.filter(Boolean).join(', ') || 'a call over the API'],
    ['Action', `${action} (${effect})`],
    ['Acts on', resourceOf(resource)],
    ['Undone by', approval.reversedBy ?? 'nothing'],
    ['Led to by', labels.length > 0 ? `data labelled ${labels.join(', ')}` : 'no labelled data'],
    ['Needs', neededOf(approval)],
    ['Digest', digest],
  ]
  return [
    ...paragraph(approval.summary, width).map(paint.bold),
    '',
    ...facts.flatMap(([name, value]) => labelled(name as string, value as string, width)),
    '',
    paint.bold('What exactly will be done'),
    ...text
      .trimEnd()
      .split('\n')
      .flatMap((line) => paragraphLine(line, width)),
    '',
    paint.bold('Why it is asked'),
    ...reasons.flatMap(({ rule, text: why }) => paragraph(`${rule}: ${why}`, width, 2)),
    ...(words.length > 0 ? ['', paint.bold('Who said what'), ...words.flatMap((word) => paragraph(wordOf(word), width, 2))] : []),
    ...(approval.status === 'pending' ? ['', `  ${typed(`approve ${id}`)}`, `  ${typed(`reject ${id} --reason "…"`)}`] : []),
  ].join('\n')
}

const LABEL_WIDTH = 11

function labelled(name: string, value: string, width: number): string[] {
  const [first = '', ...rest] = paragraph(value, width, LABEL_WIDTH)
  return [name.padEnd(LABEL_WIDTH) + first.trimStart(), ...rest]
}

/** One line of the arguments, its indentation kept: what is compared must not be laid out anew. */
function paragraphLine(line: string, width: number): string[] {
  const indent = line.length - line.trimStart().length
  return line.trim() === '' ? [''] : paragraph(line.trimStart(), width, Math.min(indent + 2, Math.floor(width / 2)))
}

function resourceOf(resource: Record<string, unknown>): string {
  const parts = Object.entries(resource).map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return parts.join(', ') || 'nothing that is named'
}

function neededOf({ terms }: ListedApproval): string {
  const people = terms.by === 1 ? 'one person' : `${terms.by} different people`
  const capabilities = terms.capabilities.length > 0 ? ` with ${terms.capabilities.join(', ')}` : ''
  const reason = terms.reasonRequired ? ', who say why' : ''
  const self = { never: ', not who asked', alone: ', not who asked unless nobody else can', always: '' }[terms.self] ?? ''
  return `${people}${capabilities}${reason}${self}`
}

function wordOf({ by, onBehalfOf, approve, reason, at }: ListedApproval['words'][number]): string {
  return `${at} ${by}${onBehalfOf ? ` for ${onBehalfOf}` : ''} ${approve ? 'approved' : 'rejected'}${reason ? `: ${reason}` : ''}`
}

export function renderDelegations(
  delegations: readonly { id: string; from: string; to: string; startsAt: string; endsAt: string; reason: string }[],
  { width }: View,
): string {
  if (delegations.length === 0) return 'Nobody stands in for anybody.'
  const time = (text: string) => text.slice(0, 16).replace('T', ' ')
  return delegations
    .flatMap(({ id, from, to, startsAt, endsAt, reason }) => [
      ...paragraph(`${to} for ${from}, ${time(startsAt)} to ${time(endsAt)} UTC: ${reason}`, width),
      `  ${id}`,
    ])
    .join('\n')
}
