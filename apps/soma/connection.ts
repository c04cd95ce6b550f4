import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { findRunningServer } from '@soma/kernel/lifecycle/data-directory'
import { type Client, createClient } from '@soma/sdk/client'

export interface Connection {
  client: Client
  url: string
  /** For streams, which the typed client does not read. */
  fetch(path: string, init?: RequestInit): Promise<Response>
}

export interface ConnectOptions {
  /** Where the platform is, when it was said. */
  url: string | undefined
  apiKey: string | undefined
  /** Folder of the server that is looked for otherwise; its key is taken when no other was given. */
  dataFolder: string
}

/**
 * Finds the server and the key to show it.
 * @throws `dependency_unavailable` when no server runs; `unauthenticated` when there is no key
 */
export async function connect({ url, apiKey, dataFolder }: ConnectOptions): Promise<Connection> {
  const address = url ? checkedUrl(url) : (await findRunningServer(dataFolder))?.url
  if (!address)
    throw new SomaError(
      'dependency_unavailable',
      `No server runs on ${dataFolder}. Start it with: npm start. Or name another one with --url or its folder with --data.`,
      { data: dataFolder },
    )
  const key = apiKey ?? (await localKey(address, dataFolder))
  return {
    client: createClient({ baseUrl: address, apiKey: key }),
    url: address,
    fetch: (path, init) => fetch(new URL(path, address), { ...init, headers: { ...init?.headers, authorization: `Bearer ${key}` } }),
  }
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
      ? `There is no API key to show ${address}: set SOMA_API_KEY, or name the server's data folder with --data (${file} can not be read).`
      : `There is no API key to show ${address}: set SOMA_API_KEY. The key of a data folder is for a server on this machine only.`,
    { url: address },
  )
}
