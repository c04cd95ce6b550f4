import { answerOf } from '@soma/sdk/client'
import { type Configure, type Session, UsageError } from '../session.ts'
import { count, table } from '../text.ts'

const SCOPES = ['everything', 'tenant', 'project', 'run', 'capsule', 'persona', 'tool'] as const
type Scope = (typeof SCOPES)[number]
const SCOPE_HELP = `What to stop: ${SCOPES.join(', ')}`
const TARGET_HELP = 'Its name: a tool or adapter, a capsule, the id of a run or project'

interface KillOptions {
  reason?: string
  list?: boolean
  all?: boolean
  lift?: string
}

const configure: Configure = (command, session) => {
  command
    .argument('[scope]', SCOPE_HELP)
    .argument('[target]', TARGET_HELP)
    .option('--reason <text>', 'Why; everybody who is stopped is told')
    .option('--list', 'Show what is stopped')
    .option('--all', 'With --list: also what was lifted')
    .option('--lift <id>', 'Let it go on: the id of a switch, or "all"')
    .addHelpText(
      'after',
      `
Acts on the next action of every agent, in every process, and ends calls
under way that may be ended. What was stopped is kept and goes on when the
switch is lifted.

Examples:
  $ soma kill tool http --reason "looks wrong"
  $ soma kill tool "*.delete" --reason "looks wrong"
  $ soma kill project prj-m3x1… --reason "wrong repository"
  $ soma kill tenant --reason "incident 42"
  $ soma kill --list
  $ soma kill --lift all
  $ soma kill drill tenant --reason "quarterly"
`,
    )
    .action((scope: string | undefined, target: string | undefined, options: KillOptions) => {
      if (options.list) return list(session, options.all === true)
      if (options.lift) return lift(session, options.lift)
      return pull(session, scope, target, options.reason)
    })
  command
    .command('drill [scope] [target]')
    .usage('<scope> [target] --reason <text>')
    .description('Pull a switch for show: how soon every process sees it, and what it would have met. Stops nothing')
    .action((scope: string | undefined, target: string | undefined, _, { parent }) => drill(session, scope, target, parent.opts().reason))
}
export default configure

/** What is asked for, complete. @throws UsageError */
function wanted(scope: string | undefined, target: string | undefined, reason: string | undefined) {
  if (!scope || !SCOPES.includes(scope as Scope))
    throw new UsageError(`Say what to stop: one of ${SCOPES.join(', ')}.${scope ? ` "${scope}" is none of them.` : ''}`)
  if (!reason) throw new UsageError('Say why with --reason; everybody who is stopped is told.')
  if (!target && scope !== 'tenant' && scope !== 'everything') throw new UsageError(`Name the ${scope} to stop: soma kill ${scope} NAME.`)
  return { scope: scope as Scope, reason, ...(target ? { target } : {}) }
}

async function pull(session: Session, scope: string | undefined, target: string | undefined, reason: string | undefined): Promise<void> {
  const body = wanted(scope, target, reason)
  const { client } = await session.connect()
  const pulled = await answerOf(client.POST('/v1/kill-switches', { body }))
  session.terminal.answer(pulled, `Stopped: ${scope} ${pulled.target}. Let it go on with: ${session.typed(`kill --lift ${pulled.id}`)}`)
}

async function drill(session: Session, scope: string | undefined, target: string | undefined, reason: string | undefined): Promise<void> {
  const body = wanted(scope, target, reason)
  const { client } = await session.connect()
  const report = await answerOf(client.POST('/v1/kill-switches/drills', { body }))
  const processes = report.processes.map(({ name, milliseconds }) => [
    name,
    milliseconds === undefined ? 'did not see it' : `${milliseconds} ms`,
  ])
  const met = [
    ...report.ended.map(({ operation, key }) => [operation, 'would be ended', key]),
    ...report.finished.map(({ operation, key }) => [operation, 'would come to its end first', key]),
  ]
  const { width, paint } = session.terminal
  session.terminal.answer(
    report,
    [
      report.isComplete
        ? `Seen by ${count(report.processes.length, 'process', 'processes')} within ${report.slowestMilliseconds} ms. Nothing was stopped.`
        : paint.red('Not every process saw it. Nothing was stopped.'),
      table(processes, width),
      met.length > 0 ? `It would have met what is under way:\n${table(met, width)}` : 'Nothing under way would have met it.',
      ...(report.elsewhere > 0 ? [`And ${count(report.elsewhere, 'action')} of other tenants.`] : []),
    ].join('\n'),
  )
}

async function list(session: Session, isAll: boolean): Promise<void> {
  const { client } = await session.connect()
  const { items } = await answerOf(client.GET('/v1/kill-switches', { params: { query: isAll ? { all: 'true' } : {} } }))
  const rows = items.map((each) => [each.id, `${each.scope} ${each.target}`, each.liftedAt ? 'lifted' : 'on', each.reason])
  session.terminal.answer(items, rows.length > 0 ? table(rows, session.terminal.width) : 'Nothing is stopped.')
}

async function lift(session: Session, which: string): Promise<void> {
  const { client } = await session.connect()
  const ids = which === 'all' ? (await answerOf(client.GET('/v1/kill-switches'))).items.map(({ id }) => id) : [which]
  const lifted = []
  for (const id of ids) lifted.push(await answerOf(client.POST('/v1/kill-switches/{id}/lift', { params: { path: { id } } })))
  session.terminal.answer(lifted, lifted.map(({ scope, target }) => `Goes on: ${scope} ${target}`).join('\n') || 'Nothing is stopped.')
}
