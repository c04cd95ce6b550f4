import { endAccountLogin } from '../account.ts'
import type { Login } from '../login.ts'
import { openLogins } from '../logins.ts'
import type { Configure, Session } from '../session.ts'

const configure: Configure = (command, session) => {
  command
    .addHelpText(
      'after',
      `
The session ends, here and at the server or the issuer. Tokens of an account of
the platform are refused at once; those of an issuer are thrown away here, and
are good until they expire, which takes minutes.
`,
    )
    .action(() => logout(session))
}
export default configure

async function logout(session: Session): Promise<void> {
  const server = await session.findServer()
  const login = await openLogins(session.env).remove(server)
  if (!login) return session.terminal.answer({ url: server, wasSignedIn: false }, `You were not signed in at ${server}.`)
  const isRevoked = await end(server, login).then(
    () => true,
    () => false,
  )
  const where = 'issuer' in login ? `The issuer ${login.issuer}` : server
  session.terminal.answer(
    { url: server, wasSignedIn: true, isRevoked },
    isRevoked ? `Signed out of ${server}.` : `Signed out of ${server} here. ${where} could not be told; the session ends there by itself.`,
  )
}

async function end(server: string, login: Login): Promise<void> {
  if (!('issuer' in login)) return endAccountLogin(server, login)
  const { revokeLogin } = await import('../sign-in.ts')
  return revokeLogin(login)
}
