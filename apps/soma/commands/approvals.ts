import { answerOf } from '@soma/sdk/client'
import { renderApproval, renderApprovals, renderDelegations } from '../approval-view.ts'
import { type Configure, type Session, UsageError } from '../session.ts'

interface ListOptions {
  status?: Status[]
  action?: string
  project?: string
  run?: string
  requestedBy?: string
  limit: number
  all?: boolean
}
const STATUSES = ['pending', 'approved', 'rejected', 'expired'] as const
type Status = (typeof STATUSES)[number]

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
Examples:
  $ soma approvals list                  what waits for people
  $ soma approvals show 4f0c2a…          what exactly will be done
  $ soma approve 4f0c2a…
  $ soma reject 4f0c2a… --reason "not this quarter"
  $ soma approvals delegate user:grace --days 14 --reason "on leave"
`,
  )
  command
    .command('list')
    .description('What waits for people, newest first')
    .option('--status <status>', 'pending, approved, rejected or expired; several with commas', parseStatus, ['pending'])
    .option('--all', 'Whatever their status')
    .option('--action <name>', 'Only this action, or all below one: tool.git.*')
    .option('--project <id>', 'Only those of a project')
    .option('--run <id>', 'Only those of a run')
    .option('--requested-by <id>', 'Only what this one asked for, or an agent for them')
    .option('--limit <number>', 'How many', Number, 50)
    .action((options: ListOptions) => list(session, options))
  command
    .command('show <id>')
    .description('What exactly will be done, why it is asked, and who said what')
    .action((id: string) => show(session, id))
  command
    .command('delegate <person>')
    .description('Let somebody else answer as you could, for a time')
    .option('--days <number>', 'For how long, from now or --from on', Number)
    .option('--from <time>', 'From when on: 2026-12-24T00:00:00Z')
    .option('--until <time>', 'Until when, instead of --days')
    .requiredOption('--reason <text>', 'Why; kept in the ledger')
    .addHelpText(
      'after',
      `
They can approve no more than you could. What was delegated to somebody can't
be passed on, and whoever delegates stands in for nobody meanwhile.
`,
    )
    .action((person: string, options: DelegateOptions) => delegate(session, person, options))
  command
    .command('delegations')
    .description('Who stands in for whom')
    .action(() => listDelegations(session))
  command
    .command('undelegate <id>')
    .description('End a delegation at once')
    .action((id: string) => undelegate(session, id))
}
export default configure

async function list(session: Session, { all, status, limit, ...filter }: ListOptions): Promise<void> {
  const { client } = await session.connect()
  const query = { ...filter, limit, ...(all ? {} : { status }) }
  const { items } = await answerOf(client.GET('/v1/approvals', { params: { query } }))
  session.terminal.answer(items, renderApprovals(items, session.terminal, Date.now()))
}

async function show(session: Session, id: string): Promise<void> {
  const { client } = await session.connect()
  const approval = await answerOf(client.GET('/v1/approvals/{id}', { params: { path: { id } } }))
  session.terminal.answer(approval, renderApproval(approval, { ...session.terminal, typed: session.typed }, Date.now()))
}

interface DelegateOptions {
  days?: number
  from?: string
  until?: string
  reason: string
}

async function delegate(session: Session, to: string, { days, from, until, reason }: DelegateOptions): Promise<void> {
  if ((days === undefined) === (until === undefined)) throw new UsageError('Say for how long with --days, or until when with --until.')
  const start = from === undefined ? new Date() : timeOf(from)
  const end = until === undefined ? new Date(start.getTime() + (days as number) * 86_400_000) : timeOf(until)
  if (Number.isNaN(end.getTime())) throw new UsageError('--days must be a number.')
  const { client } = await session.connect()
  const times = { ...(from === undefined ? {} : { startsAt: start.toISOString() }), endsAt: end.toISOString() }
  const given = await answerOf(client.POST('/v1/approval-delegations', { body: { to, reason, ...times } }))
  session.terminal.answer(
    given,
    `${given.to} answers approvals for you until ${given.endsAt.slice(0, 16).replace('T', ' ')} UTC.\nEnd it: ${session.typed(`approvals undelegate ${given.id}`)}`,
  )
}

async function listDelegations(session: Session): Promise<void> {
  const { client } = await session.connect()
  const { items } = await answerOf(client.GET('/v1/approval-delegations'))
  session.terminal.answer(items, renderDelegations(items, session.terminal))
}

async function undelegate(session: Session, id: string): Promise<void> {
  const { client } = await session.connect()
  const ended = await answerOf(client.DELETE('/v1/approval-delegations/{id}', { params: { path: { id } } }))
  session.terminal.answer(ended, `Ended: ${ended.to} no longer answers for ${ended.from}.`)
}

function parseStatus(text: string): Status[] {
  return text.split(',').map((word) => {
    const status = STATUSES.find((each) => each === word.trim())
    if (!status) throw new UsageError(`There is no status "${word}". Statuses: ${STATUSES.join(', ')}.`)
    return status
  })
}

function timeOf(text: string): Date {
  const time = new Date(text)
  if (Number.isNaN(time.getTime())) throw new UsageError(`"${text}" is no time. Write it as 2026-12-24T00:00:00Z.`)
  return time
}
