import { answerOf } from '@soma/sdk/client'
import { type Configure, type Session, UsageError } from '../session.ts'
import { table } from '../text.ts'
import { findUser } from './user.ts'

interface Options {
  user?: string
  all?: boolean
}

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
Where people signed in: your own sessions, or with --user those of somebody else.

Examples:
  $ soma session list
  $ soma session revoke --all              all but this one
  $ soma session revoke --all --user ada@example.org
`,
  )
  command
    .command('list')
    .description('Open sessions')
    .option('--user <user>', 'Of this user, by address or id')
    .action((options: Options) => list(session, options))
  command
    .command('revoke [id]')
    .description('End a session, or all of them; their tokens are refused')
    .option('--user <user>', 'Of this user, by address or id')
    .option('--all', 'All sessions; of the own ones, all but this')
    .action((id: string | undefined, options: Options) => revoke(session, id, options))
}
export default configure

async function list(session: Session, options: Options): Promise<void> {
  const { client } = await session.connect()
  const query = { limit: 200, ...(await ofUser(session, options)) }
  const { items } = await answerOf(client.GET('/v1/sessions', { params: { query } }))
  const rows = items.map((each) => [
    each.isOwn ? '*' : '',
    each.id,
    each.lastUsedAt.slice(0, 16),
    each.factorAt ? 'second factor' : '',
    each.address ?? '',
    each.client ?? '',
  ])
  session.terminal.answer(items, rows.length > 0 ? table(rows, session.terminal.width) : 'There are no open sessions.')
}

async function revoke(session: Session, id: string | undefined, options: Options): Promise<void> {
  if ((id === undefined) === (options.all !== true)) throw new UsageError('Name a session, or all of them with --all.')
  const { client } = await session.connect()
  const query = await ofUser(session, options)
  const ended = await answerOf(
    id === undefined
      ? client.DELETE('/v1/sessions', { params: { query } })
      : client.DELETE('/v1/sessions/{id}', { params: { path: { id }, query } }),
  )
  session.terminal.answer(ended, `Ended: ${ended.ended}`)
}

async function ofUser(session: Session, { user }: Options): Promise<{ user?: string }> {
  if (user === undefined) return {}
  const { client } = await session.connect()
  return { user: (await findUser(client, user)).id }
}
