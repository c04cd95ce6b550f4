import { answerOf } from '@soma/sdk/client'
import { type Session, UsageError } from './session.ts'
import { count, table } from './text.ts'

/** What is taken out of the ledger, and what is kept from that. */

export async function redact(session: Session, stream: string, words: readonly string[], { reason }: { reason?: string }): Promise<void> {
  if (!reason) throw new UsageError('Say why with --reason; it is kept in the ledger.')
  const seqs = words.map((word) => wholeNumber(word, 'the number of an entry'))
  const { client } = await session.connect()
  const redaction = await answerOf(client.POST('/v1/audit/redactions', { body: { stream, seqs, reason } }))
  const { length } = redaction.seqs
  session.terminal.answer(
    redaction,
    length === 0
      ? 'Their content was gone already.'
      : `Took away the content of ${count(length, 'entry', 'entries')} of ${stream} and ${count(redaction.objects.length, 'object')}.`,
  )
}

interface RetentionOptions {
  set?: string[]
  clear?: boolean
  dryRun?: boolean
  apply?: boolean
}

export async function retention(session: Session, options: RetentionOptions): Promise<void> {
  const { client } = await session.connect()
  if (options.set || options.clear) await answerOf(client.PUT('/v1/audit/retention', { body: { rules: (options.set ?? []).map(ruleOf) } }))
  if (options.dryRun || options.apply) return apply(session, options.dryRun === true)
  const answer = await answerOf(client.GET('/v1/audit/retention'))
  const rows = answer.rules.map(({ kind, days }) => [kind, count(days, 'day')])
  session.terminal.answer(answer, rows.length > 0 ? table(rows, session.terminal.width) : 'Everything is kept.')
}

async function apply(session: Session, dryRun: boolean): Promise<void> {
  const { client } = await session.connect()
  const report = await answerOf(client.POST('/v1/audit/retention/runs', { body: { dryRun } }))
  const rows = Object.entries(report.redacted).map(([kind, entries]) => [kind, count(entries, 'entry', 'entries')])
  session.terminal.answer(
    report,
    [
      dryRun ? 'The rules would take the content of these away now:' : 'The content of these was taken away:',
      rows.length > 0 ? table(rows, session.terminal.width) : '  nothing',
      ...(report.held > 0 ? [`Kept because of a legal hold: ${report.held}`] : []),
      ...(report.open > 0 ? [`Kept because their run is not over: ${report.open}`] : []),
    ].join('\n'),
  )
}

function ruleOf(word: string): { kind: string; days: number } {
  const [kind, days, ...more] = word.split('=')
  if (!kind || !days || more.length > 0) throw new UsageError(`"${word}" is no rule. Write it as kind=days, like "action.*=90".`)
  return { kind, days: wholeNumber(days, 'a number of days') }
}

interface HoldOptions {
  stream?: string[]
  reason?: string
  lift?: string
}

export async function hold(session: Session, { stream, reason, lift }: HoldOptions): Promise<void> {
  const { client } = await session.connect()
  if (!reason) {
    if (lift || stream) throw new UsageError('Say why with --reason; it is kept in the ledger.')
    const { items } = await answerOf(client.GET('/v1/audit/holds'))
    const rows = items.map((each) => [each.id, each.streams.join(' ') || 'everything', each.reason])
    return session.terminal.answer(items, rows.length > 0 ? table(rows, session.terminal.width) : 'Nothing is held.')
  }
  if (lift) {
    const lifted = await answerOf(client.POST('/v1/audit/holds/{id}/lift', { params: { path: { id: lift } }, body: { reason } }))
    return session.terminal.answer(lifted, `Lifted: ${lifted.reason}`)
  }
  const placed = await answerOf(client.POST('/v1/audit/holds', { body: { streams: stream ?? [], reason } }))
  session.terminal.answer(placed, `Held. Lift it with: ${session.typed(`audit hold --lift ${placed.id} --reason …`)}`)
}

function wholeNumber(word: string, what: string): number {
  if (!/^[1-9]\d*$/.test(word)) throw new UsageError(`"${word}" is not ${what}.`)
  return Number(word)
}
