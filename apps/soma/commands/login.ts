import { SomaError } from '@soma/contracts/errors'
import { z } from 'zod'
import { openLogins } from '../logins.ts'
import type { Configure, Session } from '../session.ts'
import type { SignInPlace } from '../sign-in.ts'

interface LoginOptions {
  device?: boolean
  mfa?: boolean
}

const configure: Configure = (command, session) => {
  command
    .option('--device', 'Sign in with a browser on another machine, by a code')
    .option('--mfa', 'Ask for a second factor, for what policy lets happen only then')
    .addHelpText(
      'after',
      `
Opens a browser at the issuer that the server trusts (Keycloak, or another
issuer of OpenID Connect). What comes back is kept in
~/.config/soma/logins.json, which only you may read, and renewed by itself
until you log out or the session ends. SOMA_API_KEY goes before it.

Examples:
  $ soma login
  $ soma --url https://soma.example.org login --device
`,
    )
    .action((options: LoginOptions) => login(session, options))
}
export default configure

async function login(session: Session, { device, mfa = false }: LoginOptions): Promise<void> {
  const server = await session.findServer()
  const place = await findSignInPlace(server)
  const { signInByBrowser, signInByDevice } = await import('../sign-in.ts')
  const signIn = device ? signInByDevice : signInByBrowser
  const login = await signIn({ place, withSecondFactor: mfa, tell: (address, code) => tell(session, address, code) })
  await openLogins(session.env).save(server, login)
  session.terminal.answer(
    { url: server, issuer: login.issuer },
    `Signed in at ${server}. ${session.env.SOMA_API_KEY ? 'SOMA_API_KEY is set and goes before it.' : `See: ${session.typed('whoami')}`}`,
  )
}

const Methods = z.object({
  openIdConnect: z
    .object({ issuer: z.url({ protocol: /^https?$/ }), clientId: z.string(), scope: z.string(), mfaLevels: z.array(z.string()) })
    .nullable(),
})

async function findSignInPlace(server: string): Promise<SignInPlace> {
  const answer = await fetch(new URL('/v1/auth/methods', server), { signal: AbortSignal.timeout(10_000) }).catch((cause: Error) => {
    throw new SomaError('dependency_unavailable', `The platform at ${server} can not be reached.`, { url: server }, { cause })
  })
  const methods = Methods.safeParse(await answer.json().catch(() => undefined))
  if (!methods.success)
    throw new SomaError('dependency_unavailable', `${server} does not say how people sign in. Is it this platform, and as new?`, {
      url: server,
    })
  if (methods.data.openIdConnect) return methods.data.openIdConnect
  throw new SomaError(
    'conflict',
    `People do not sign in at ${server}: it trusts no issuer. Show it an API key with SOMA_API_KEY, or give it an issuer with the settings auth.issuer and auth.clientId.`,
    { url: server },
  )
}

/** Also where a program reads the answer, a person must be told where to go. */
async function tell({ terminal, env }: Session, address: URL, code?: string): Promise<void> {
  const sentence = code ? `Open ${address.href} and check that it shows the code ${code}` : `Open ${address.href}`
  if (terminal.isJson) process.stderr.write(`${sentence}\n`)
  else terminal.note(sentence)
  if (code || !terminal.isInteractive || !hasBrowser(env)) return
  const { default: open } = await import('open')
  // The address stands there; whoever has no browser opens it himself.
  await open(address.href).catch(() => undefined)
}

function hasBrowser(env: NodeJS.ProcessEnv): boolean {
  return process.platform !== 'linux' || Boolean(env.DISPLAY || env.WAYLAND_DISPLAY || env.WSL_DISTRO_NAME)
}
