import { answerOf } from '@soma/sdk/client'
import { collect } from '../inputs.ts'
import { type Configure, type Session, UsageError } from '../session.ts'
import { table } from '../text.ts'

interface CreateOptions {
  may?: string[]
  days?: number
  account?: string
}

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
A key may no more than whoever makes it, now and later: it loses what that one
loses, and ends with them.

Examples:
  $ soma key create ci --may "project.*" --may tool.read --days 90
  $ soma key create deploy --account robot --may "*"
  $ soma key rotate 4f0c2a… --overlap-hours 48
  $ soma key list
`,
  )
  command
    .command('list')
    .description('Keys of the tenant')
    .action(() => list(session))
  command
    .command('create <name>')
    .description('Make a key; it is shown this once')
    .option('--may <capability>', 'What it may, a pattern; may be given several times', collect)
    .option('--days <number>', 'When it expires; without it, never', Number)
    .option('--account <id>', 'The service account that it stands for')
    .action((name: string, options: CreateOptions) => create(session, name, options))
  command
    .command('rotate <id>')
    .description('Make a key that takes the place of another one, which goes on for a while')
    .option('--overlap-hours <number>', 'How long the old key still works', Number, 24)
    .action((id: string, { overlapHours }: { overlapHours: number }) => rotate(session, id, overlapHours))
  command
    .command('revoke <id>')
    .description('End a key; its next request is refused')
    .action((id: string) => revoke(session, id))
}
export default configure

async function list(session: Session): Promise<void> {
  const { client } = await session.connect()
  const { items } = await answerOf(client.GET('/v1/api-keys', { params: { query: { limit: 200 } } }))
  const rows = items.map((key) => [
    key.id,
    key.name,
    key.revokedAt ? 'revoked' : key.expiresAt ? `until ${key.expiresAt.slice(0, 10)}` : '',
    key.lastUsedAt ? `used ${key.lastUsedAt.slice(0, 10)}` : 'never used',
    key.capabilities.join(' '),
  ])
  session.terminal.answer(items, table(rows, session.terminal.width))
}

async function create(session: Session, name: string, { may, days, account }: CreateOptions): Promise<void> {
  if (!may) throw new UsageError('Say what it may with --may: a capability, or a pattern such as "project.*".')
  if (days !== undefined && !(days > 0)) throw new UsageError('--days must be a number above 0.')
  const { client } = await session.connect()
  const expiresAt = days === undefined ? {} : { expiresAt: new Date(Date.now() + days * 86_400_000).toISOString() }
  const body = { name, capabilities: may, ...expiresAt }
  const made = await answerOf(
    account
      ? client.POST('/v1/service-accounts/{id}/keys', { params: { path: { id: account } }, body })
      : client.POST('/v1/api-keys', { body }),
  )
  session.terminal.answer(made, `${made.key}\n\nIt is shown this once. Id: ${made.record.id}`)
}

async function rotate(session: Session, id: string, hours: number): Promise<void> {
  if (!(hours >= 0)) throw new UsageError('--overlap-hours must be a number from 0.')
  const { client } = await session.connect()
  const body = { overlapSeconds: Math.round(hours * 3600) }
  const made = await answerOf(client.POST('/v1/api-keys/{id}/rotate', { params: { path: { id } }, body }))
  session.terminal.answer(made, `${made.key}\n\nIt is shown this once. Id: ${made.record.id}. The old key works for ${hours} hours more.`)
}

async function revoke(session: Session, id: string): Promise<void> {
  const { client } = await session.connect()
  const revoked = await answerOf(client.DELETE('/v1/api-keys/{id}', { params: { path: { id } } }))
  session.terminal.answer(revoked, `Revoked: ${revoked.name}`)
}
