import { SomaError } from '@soma/contracts/errors'
import { answerOf, type Client } from '@soma/sdk/client'
import { acceptInvitation } from '../account.ts'
import { askForSecret, readSecret } from '../ask-person.ts'
import { collect } from '../inputs.ts'
import { openLogins } from '../logins.ts'
import type { Configure, Session } from '../session.ts'
import { table } from '../text.ts'

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
A user is named by address or id. There is no mail server: whoever invites gets
the link, and hands it on.

Examples:
  $ soma user invite ada@example.org --role developer
  $ soma user join acme.6f1c….Qx…      what Ada types
  $ soma user list
  $ soma user roles ada@example.org operator auditor
  $ soma user disable ada@example.org
`,
  )
  command
    .command('list')
    .description('Users of the tenant')
    .action(() => list(session))
  command
    .command('invite <address>')
    .description('Make a link by which somebody becomes a user')
    .option('--role <name>', 'A role; may be given several times', collect)
    .action((address: string, { role = ['viewer'] }: { role?: string[] }) => invite(session, address, role))
  command
    .command('join <link>')
    .description('Use such a link: become a user, or set another password, and be signed in')
    .option('--name <name>', 'How you are called')
    .option('--password-stdin', 'Read the password from standard input')
    .action((link: string, options: { name?: string; passwordStdin?: boolean }) => join(session, link, options))
  command
    .command('roles <user> <role...>')
    .description('Give a user these roles instead of the present ones')
    .action((user: string, roles: string[]) => change(session, user, { roles }))
  command
    .command('disable <user>')
    .description('Shut a user out at once: sessions, tokens and keys')
    .action((user: string) => change(session, user, { isActive: false }))
  command
    .command('enable <user>')
    .description('Let a user in again')
    .action((user: string) => change(session, user, { isActive: true }))
  command
    .command('delete <user>')
    .description('Delete a user')
    .action((user: string) => remove(session, user))
  command
    .command('password-link <user>')
    .description('Make a link by which a user who forgot the password sets another one')
    .action((user: string) => passwordLink(session, user))
  command
    .command('reset-mfa <user>')
    .description('Take the second factor away from a user who lost it')
    .action((user: string) => resetMfa(session, user))
}
export default configure

async function list(session: Session): Promise<void> {
  const { client } = await session.connect()
  const { items } = await answerOf(client.GET('/v1/users', { params: { query: { limit: 200 } } }))
  const rows = items.map((user) => [
    user.email,
    user.isActive ? 'active' : 'disabled',
    user.hasSecondFactor ? 'second factor' : '',
    user.id,
    user.roles.join(' '),
  ])
  session.terminal.answer(
    items,
    rows.length > 0 ? table(rows, session.terminal.width) : 'There are no users yet; see: soma user invite --help',
  )
}

async function invite(session: Session, email: string, roles: string[]): Promise<void> {
  const { client } = await session.connect()
  const link = await answerOf(client.POST('/v1/invitations', { body: { email, roles } }))
  tellLink(session, link, `${email} becomes a user with it`)
}

async function passwordLink(session: Session, user: string): Promise<void> {
  const { client } = await session.connect()
  const { id, email } = await findUser(client, user)
  const link = await answerOf(client.POST('/v1/users/{id}/password-link', { params: { path: { id } } }))
  tellLink(session, link, `${email} sets another password with it`)
}

function tellLink(session: Session, link: { token: string; invitation: { expiresAt: string } }, what: string): void {
  session.terminal.answer(
    link,
    [`${session.typed(`user join ${link.token}`)}`, '', `${what}, once, until ${link.invitation.expiresAt}. It is shown this once.`].join(
      '\n',
    ),
  )
}

async function join(session: Session, token: string, { name, passwordStdin }: { name?: string; passwordStdin?: boolean }): Promise<void> {
  const server = await session.findServer()
  const password = passwordStdin ? await readSecret() : await askForSecret(session, 'A new password', '--password-stdin')
  const login = await acceptInvitation(server, { token, password, ...(name ? { name } : {}) })
  await openLogins(session.env).save(server, login)
  session.terminal.answer({ url: server, tenant: login.tenant }, `Welcome. You are signed in at ${server}. See: ${session.typed('whoami')}`)
}

async function change(session: Session, user: string, body: { roles?: string[]; isActive?: boolean }): Promise<void> {
  const { client } = await session.connect()
  const { id } = await findUser(client, user)
  const changed = await answerOf(client.PATCH('/v1/users/{id}', { params: { path: { id } }, body }))
  const state = changed.isActive ? `may: ${changed.roles.join(' ') || 'nothing'}` : 'is disabled'
  session.terminal.answer(changed, `${changed.email} ${state}`)
}

async function remove(session: Session, user: string): Promise<void> {
  const { client } = await session.connect()
  const { id } = await findUser(client, user)
  const deleted = await answerOf(client.DELETE('/v1/users/{id}', { params: { path: { id } } }))
  session.terminal.answer(deleted, `Deleted: ${deleted.email}`)
}

async function resetMfa(session: Session, user: string): Promise<void> {
  const { client } = await session.connect()
  const { id } = await findUser(client, user)
  const changed = await answerOf(client.DELETE('/v1/users/{id}/mfa', { params: { path: { id } } }))
  session.terminal.answer(changed, `${changed.email} has no second factor now, and must sign in again.`)
}

/** By address or id. @throws `not_found` */
export async function findUser(client: Client, user: string): Promise<{ id: string; email: string }> {
  if (!user.includes('@')) return answerOf(client.GET('/v1/users/{id}', { params: { path: { id: user } } }))
  const [found] = (await answerOf(client.GET('/v1/users', { params: { query: { email: user } } }))).items
  if (found) return found
  throw new SomaError('not_found', `There is no user with the address ${user}.`, { email: user })
}
