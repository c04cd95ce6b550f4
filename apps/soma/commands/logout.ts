import { openLogins } from '../logins.ts'
import type { Configure, Session } from '../session.ts'

const configure: Configure = (command, session) => {
  command
    .addHelpText(
      'after',
      `
The issuer gives no new tokens after that. The last one is thrown away here,
and is good until it expires, which takes minutes.
`,
    )
    .action(() => logout(session))
}
export default configure

async function logout(session: Session): Promise<void> {
  const server = await session.findServer()
  const login = await openLogins(session.env).remove(server)
  if (!login) return session.terminal.answer({ url: server, wasSignedIn: false }, `You were not signed in at ${server}.`)
  const { revokeLogin } = await import('../sign-in.ts')
  const isRevoked = await revokeLogin(login).then(
    () => true,
    () => false,
  )
  session.terminal.answer(
    { url: server, wasSignedIn: true, isRevoked },
    isRevoked
      ? `Signed out of ${server}.`
      : `Signed out of ${server} here. The issuer ${login.issuer} could not be told; the session ends there by itself.`,
  )
}
