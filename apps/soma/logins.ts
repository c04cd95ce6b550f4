import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { lock } from 'proper-lockfile'
import { z } from 'zod'
import { Login } from './login.ts'

const File = z.record(z.string(), Login)

/** Sign-ins by server, in a file that only its owner may read. */
export interface Logins {
  find(server: string): Promise<Login | undefined>
  save(server: string, login: Login): Promise<void>
  /** Forgets it; gives what there was. */
  remove(server: string): Promise<Login | undefined>
  /**
   * A token that is good for the next request; fetches a new one when it is about to expire.
   * @param refused a token that the server did not take, though it should have been good: it was revoked, as when roles change
   * @throws `unauthenticated` when one has to sign in again
   */
  accessToken(server: string, refused?: string): Promise<string>
}

/** A token that expires sooner may be too old when it arrives. */
const LEAST_LEFT_MILLISECONDS = 20_000

export function openLogins(env: NodeJS.ProcessEnv): Logins {
  const folder = join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'soma')
  const path = join(folder, 'logins.json')

  async function read(): Promise<z.infer<typeof File>> {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '{}'
      throw error
    })
    try {
      return File.parse(JSON.parse(text))
    } catch (cause) {
      throw new SomaError('invalid_input', `${path} can not be read. Delete it and sign in again.`, { file: path }, { cause })
    }
  }

  async function write(logins: z.infer<typeof File>): Promise<void> {
    const draft = `${path}.${process.pid}`
    await writeFile(draft, `${JSON.stringify(logins, null, 2)}\n`, { mode: 0o600 })
    await rename(draft, path)
  }

  /** One process at a time: an issuer gives a new refresh token for the old one once, and takes a second time for theft. */
  async function change<Result>(work: (logins: z.infer<typeof File>) => Promise<Result>): Promise<Result> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const unlock = await lock(folder, { retries: { forever: true, minTimeout: 20, maxTimeout: 200, maxRetryTime: 30_000 } })
    try {
      return await work(await read())
    } finally {
      await unlock()
    }
  }

  const refresh = (server: string, refused?: string) =>
    change(async (logins) => {
      const login = logins[originOf(server)]
      if (!login) throw ended(server)
      if (isFresh(login) && login.accessToken !== refused) return login
      const renewed = await renew(server, login)
      // Kept until the person signs in or out: to go on as somebody else, by the key of the data folder, would be a surprise.
      if (!renewed) throw ended(server)
      await write({ ...logins, [originOf(server)]: renewed })
      return renewed
    })

  return {
    find: async (server) => (await read())[originOf(server)],
    save: (server, login) => change((logins) => write({ ...logins, [originOf(server)]: login })),
    remove: (server) =>
      change(async ({ [originOf(server)]: removed, ...others }) => {
        await write(others)
        return removed
      }),
    accessToken: async (server, refused) => {
      const login = (await read())[originOf(server)]
      return login && isFresh(login) && login.accessToken !== refused ? login.accessToken : (await refresh(server, refused)).accessToken
    },
  }
}

async function renew(server: string, login: Login): Promise<Login | undefined> {
  if ('issuer' in login) return (await import('./sign-in.ts')).renewLogin(login)
  return (await import('./account.ts')).renewAccountLogin(server, login)
}

function isFresh({ expiresAt }: Login): boolean {
  return expiresAt - Date.now() > LEAST_LEFT_MILLISECONDS
}

function originOf(server: string): string {
  return new URL(server).origin
}

function ended(server: string): SomaError {
  return new SomaError('unauthenticated', `Your sign-in at ${server} has ended. Sign in again: soma login`, { url: server })
}
