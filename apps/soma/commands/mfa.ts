import { answerOf } from '@soma/sdk/client'
import { asLogin } from '../account.ts'
import { askFor, askForSecret, readSecret } from '../ask-person.ts'
import { openLogins } from '../logins.ts'
import type { Configure, Session } from '../session.ts'

interface EnrolOptions {
  passwordStdin?: boolean
  code?: string
}

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
The second factor of your own account. A code of the app is good once. Whoever
loses the app signs in with a recovery code, or asks an administrator.

Examples:
  $ soma mfa enroll
  $ soma login --mfa            show it once more
  $ soma mfa recovery-codes
`,
  )
  command
    .command('enroll')
    .description('Set up an authenticator app')
    .option('--password-stdin', 'Read the password from standard input')
    .action((options: EnrolOptions) => enroll(session, options))
  command
    .command('verify <code>')
    .description('Put the app in force with its first code')
    .action((code: string) => verify(session, code))
  command
    .command('recovery-codes')
    .description('New recovery codes; the old ones are good no more')
    .option('--password-stdin', 'Read the password from standard input')
    .action((options: EnrolOptions) => recoveryCodes(session, options))
  command
    .command('remove')
    .description('Take the app away')
    .action(() => remove(session))
}
export default configure

const ME = { path: { id: 'me' } }

async function enroll(session: Session, { passwordStdin }: EnrolOptions): Promise<void> {
  const { client } = await session.connect()
  const enrolment = await answerOf(
    client.POST('/v1/users/{id}/mfa/enroll', { params: ME, body: { password: await passwordOf(session, passwordStdin) } }),
  )
  const { terminal } = session
  if (!terminal.isInteractive)
    return terminal.answer(
      enrolment,
      [enrolment.uri, ...enrolment.recoveryCodes, '', `Then: ${session.typed('mfa verify CODE')}`].join('\n'),
    )
  const { renderUnicodeCompact } = await import('uqr')
  terminal.note(`${renderUnicodeCompact(enrolment.uri)}\n\n${enrolment.uri}\n`)
  terminal.note(`Recovery codes, for when the app is lost. Note them; each is good once:\n\n  ${enrolment.recoveryCodes.join('\n  ')}\n`)
  await verify(session, await askFor(session, 'Code that the app shows', 'mfa verify'))
}

async function verify(session: Session, code: string): Promise<void> {
  const { client, url } = await session.connect()
  const login = asLogin(await answerOf(client.POST('/v1/users/{id}/mfa/verify', { params: ME, body: { code } })))
  await openLogins(session.env).save(url, login)
  session.terminal.answer({ verified: true }, 'The second factor is in force.')
}

async function recoveryCodes(session: Session, { passwordStdin }: EnrolOptions): Promise<void> {
  const { client } = await session.connect()
  const renewed = await answerOf(
    client.POST('/v1/users/{id}/mfa/recovery-codes', { params: ME, body: { password: await passwordOf(session, passwordStdin) } }),
  )
  session.terminal.answer(renewed, renewed.recoveryCodes.join('\n'))
}

async function remove(session: Session): Promise<void> {
  const { client } = await session.connect()
  const account = await answerOf(client.POST('/v1/users/{id}/mfa/remove', { params: ME }))
  session.terminal.answer(account, 'There is no second factor now.')
}

function passwordOf(session: Session, isPiped: boolean | undefined): Promise<string> {
  return isPiped ? readSecret() : askForSecret(session, 'Password', '--password-stdin')
}
