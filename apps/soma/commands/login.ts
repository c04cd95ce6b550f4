import { SomaError } from '@soma/contracts/errors'
import { z } from 'zod'
import { factorOf, type ShownFactor, signInWithAccount, stepUp } from '../account.ts'
import { askFor, askForSecret, readSecret } from '../ask-person.ts'
import type { AccountLogin, Login } from '../login.ts'
import { openLogins } from '../logins.ts'
import { type Configure, type Session, UsageError } from '../session.ts'
import type { SignInPlace } from '../sign-in.ts'

interface LoginOptions {
  device?: boolean
  mfa?: boolean
  email?: string
  tenant?: string
  passwordStdin?: boolean
  code?: string
}

const configure: Configure = (command, session) => {
  command
    .option('--email <address>', 'Of your account, where the server has accounts of its own')
    .option('--tenant <name>', 'Tenant that the account is in')
    .option('--password-stdin', 'Read the password from standard input')
    .option('--code <code>', 'Of the authenticator app, or a recovery code')
    .option('--device', 'At an issuer: sign in with a browser on another machine, by a code')
    .option('--mfa', 'Show a second factor, for what policy lets happen only then')
    .addHelpText(
      'after',
      `
Where the server trusts an issuer of OpenID Connect (Keycloak, or another),
opens a browser there. Elsewhere asks for address and password, and for a
second factor if the account has one. What comes back is kept in
~/.config/soma/logins.json, which only you may read, and renewed by itself
until you log out or the session ends. SOMA_API_KEY goes before it.

Examples:
  $ soma login
  $ soma login --email ada@example.org
  $ soma login --mfa                 what answers mfa_required works then
  $ soma --url https://soma.example.org login --device
`,
    )
    .action((options: LoginOptions) => login(session, options))
}
export default configure

async function login(session: Session, options: LoginOptions): Promise<void> {
  const server = await session.findServer()
  const methods = await readMethods(server)
  const logins = openLogins(session.env)
  const login = methods.openIdConnect
    ? await signInAtIssuer(session, methods.openIdConnect, options)
    : await signInHere(session, server, methods, options, await logins.find(server))
  await logins.save(server, login)
  session.terminal.answer(
    { url: server, ...('issuer' in login ? { issuer: login.issuer } : { tenant: login.tenant }) },
    `Signed in at ${server}. ${session.env.SOMA_API_KEY ? 'SOMA_API_KEY is set and goes before it.' : `See: ${session.typed('whoami')}`}`,
  )
}

const Methods = z.object({
  password: z.object({ tenant: z.string() }).nullable(),
  openIdConnect: z
    .object({ issuer: z.url({ protocol: /^https?$/ }), clientId: z.string(), scope: z.string(), mfaLevels: z.array(z.string()) })
    .nullable(),
})
type Methods = z.infer<typeof Methods>

async function readMethods(server: string): Promise<Methods> {
  const answer = await fetch(new URL('/v1/auth/methods', server), { signal: AbortSignal.timeout(10_000) }).catch((cause: Error) => {
    throw new SomaError('dependency_unavailable', `The platform at ${server} can not be reached.`, { url: server }, { cause })
  })
  const methods = Methods.safeParse(await answer.json().catch(() => undefined))
  if (methods.success) return methods.data
  throw new SomaError('dependency_unavailable', `${server} does not say how people sign in. Is it this platform, and as new?`, {
    url: server,
  })
}

async function signInAtIssuer(session: Session, place: SignInPlace, { device, mfa = false }: LoginOptions): Promise<Login> {
  const { signInByBrowser, signInByDevice } = await import('../sign-in.ts')
  const signIn = device ? signInByDevice : signInByBrowser
  return signIn({ place, withSecondFactor: mfa, tell: (address, code) => tell(session, address, code) })
}

async function signInHere(
  session: Session,
  server: string,
  { password: accounts }: Methods,
  options: LoginOptions,
  before: Login | undefined,
): Promise<AccountLogin> {
  if (!accounts)
    throw new SomaError(
      'conflict',
      `People do not sign in at ${server}: it trusts an issuer, but no client of it is set with auth.clientId. Show it an API key with SOMA_API_KEY.`,
      { url: server },
    )
  const askFactor = async (): Promise<ShownFactor> =>
    factorOf(options.code ?? (await askFor(session, 'Code of the authenticator app, or a recovery code', '--code')))
  // Whoever is signed in shows the factor in the session there is.
  if (options.mfa && before && !('issuer' in before) && !options.email) {
    const accessToken = await openLogins(session.env).accessToken(server)
    return stepUp(server, { ...before, accessToken }, await askFactor())
  }
  const email = options.email ?? (await askFor(session, 'E-mail address', '--email'))
  const password = options.passwordStdin ? await readSecret() : await askForSecret(session, 'Password', '--password-stdin')
  const login = await signInWithAccount(server, { tenant: options.tenant, email, password }, askFactor)
  if (options.mfa && !(await hasShownFactor(server, login)))
    throw new UsageError('The account has no second factor yet. Sign in without --mfa, and then: soma mfa enroll')
  return login
}

async function hasShownFactor(server: string, { accessToken }: AccountLogin): Promise<boolean> {
  const answer = await fetch(new URL('/v1/me', server), { headers: { authorization: `Bearer ${accessToken}` } })
  return ((await answer.json()) as { mfa?: boolean }).mfa === true
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
