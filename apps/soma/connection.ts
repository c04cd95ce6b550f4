import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { findRunningServer } from '@soma/kernel/lifecycle/data-directory'
import { type Client, createClient } from '@soma/sdk/client'
import type { Logins } from './logins.ts'

export interface Connection {
  client: Client
  url: string
  /** For streams, which the typed client does not read. */
  fetch(path: string, init?: RequestInit): Promise<Response>
}

/**
 * The server's address: the one that was said, or that of the server on the data folder.
 * @throws `dependency_unavailable` when no server runs
 */
export async function findServer({ url, dataFolder }: { url: string | undefined; dataFolder: string }): Promise<string> {
  const address = url ? checkedUrl(url) : (await findRunningServer(dataFolder))?.url
  if (address) return address
  throw new SomaError(
    'dependency_unavailable',
    `No server runs on ${dataFolder}. Start it with: npm start. Or name another one with --url or its folder with --data.`,
    { data: dataFolder },
  )
}

export interface ConnectOptions {
  /** Where the platform is. */
  url: string
  apiKey: string | undefined
  /** Without it nobody's sign-in counts. */
  logins?: Logins
  /** Its key is taken when there is no other, and nobody signed in. */
  dataFolder: string
}

/**
 * Finds what to show the server: a key that was given, what a sign-in got, or the key of the data folder.
 * @throws `unauthenticated` when there is nothing
 */
export async function connect({ url, apiKey, logins, dataFolder }: ConnectOptions): Promise<Connection> {
  const credentials = await findCredentials({ url, apiKey, logins, dataFolder })
  const send = retryingWith(credentials)
  return {
    client: createClient({ baseUrl: url, apiKey: credentials, fetch: send as typeof fetch }),
    url,
    fetch: async (path, init) =>
      send(new Request(new URL(path, url), { ...init, headers: { ...init?.headers, authorization: `Bearer ${await credentials()}` } })),
  }
}

/** What to show the server; asked with what it refused, what to show instead. */
type Credentials = (refused?: string) => Promise<string>

/** A token may be revoked while the session goes on, as when roles change: then another one is got, once. */
function retryingWith(credentials: Credentials): (request: Request) => Promise<Response> {
  return async (request) => {
    const answer = await fetch(request.clone())
    if (
      answer.status !== 401 ||
      (
        await answer
          .clone()
          .json()
          .catch(() => undefined)
      )?.code !== 'unauthenticated'
    )
      return answer
    const refused = request.headers.get('authorization')?.slice('Bearer '.length) ?? ''
    const other = await credentials(refused).catch(() => refused)
    if (other === refused) return answer
    request.headers.set('authorization', `Bearer ${other}`)
    return fetch(request)
  }
}

async function findCredentials({ url, apiKey, logins, dataFolder }: ConnectOptions): Promise<Credentials> {
  if (apiKey) return async () => apiKey
  if (logins && (await logins.find(url))) return (refused) => logins.accessToken(url, refused)
  const key = await localKey(url, dataFolder)
  return async () => key
}

function checkedUrl(text: string): string {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text))
    throw new SomaError('invalid_input', `"${text}" is not the address of a server. Write it like http://127.0.0.1:8000.`, { url: text })
  return text
}

/** The administrator's key of the data folder, for a server on this machine only: a key is not shown to whoever an address leads to. */
async function localKey(address: string, dataFolder: string): Promise<string> {
  const file = join(dataFolder, 'admin.key')
  const isLocal = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(address).hostname)
  const key = isLocal ? await readFile(file, 'utf8').catch(() => undefined) : undefined
  if (key?.trim()) return key.trim()
  throw new SomaError(
    'unauthenticated',
    isLocal
      ? `There is no API key to show ${address}: sign in with "soma login", set SOMA_API_KEY, or name the server's data folder with --data (${file} can not be read).`
      : `There is no API key to show ${address}: sign in with "soma login", or set SOMA_API_KEY. The key of a data folder is for a server on this machine only.`,
    { url: address },
  )
}
