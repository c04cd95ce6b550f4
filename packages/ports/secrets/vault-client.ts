import { SomaError } from '@soma/contracts/errors'
import type { z } from 'zod'

const PATIENCE_MILLISECONDS = 10_000

export interface VaultOptions {
  /** `https://vault.example:8200` */
  url?: string
  /** May read and write below the mount. */
  token?: string
  /** Mount of the key-value engine, version 2. */
  mount: string
}

interface Question {
  method: 'GET' | 'LIST' | 'POST' | 'DELETE'
  /** Below `/v1/`, its segments encoded. */
  path: string
  body?: unknown
}

export interface VaultClient {
  /**
   * The answer's body; undefined when there is nothing at the path.
   * @throws `dependency_unavailable`, with what to do; it never holds the body of the question or of the answer
   */
  find<Answer>(schema: z.ZodType<Answer>, question: Question): Promise<Answer | undefined>
  /** Like `find`, where there must be an answer. */
  ask<Answer>(schema: z.ZodType<Answer>, question: Question): Promise<Answer>
  /** Where nothing is answered. */
  tell(question: Question): Promise<void>
}

/**
 * Vault's HTTP API, as far as the secrets port needs it: seven requests, for which the clients on npm bring no types and put what was
 * sent into their errors.
 * @throws `invalid_input` when the address or the token is not set
 */
export function createVaultClient({ url, token, mount }: VaultOptions): VaultClient {
  if (!url || !token)
    throw new SomaError(
      'invalid_input',
      `Secrets in Vault need its address and a token. Set ${[url ? '' : 'SOMA_VAULT_URL', token ? '' : 'SOMA_VAULT_TOKEN'].filter(Boolean).join(' and ')}, or the driver of secrets to "postgres".`,
    )
  const base = url.replace(/\/+$/, '')
  const unavailable = (what: string, cause?: unknown) =>
    new SomaError('dependency_unavailable', `Vault at ${base} ${what}`, { server: 'vault' }, { cause })

  async function send({ method, path, body }: Question): Promise<Response> {
    try {
      return await fetch(`${base}/v1/${path}`, {
        method,
        headers: { 'x-vault-token': token as string, 'content-type': 'application/json' },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE_MILLISECONDS),
      })
    } catch (cause) {
      throw unavailable(`does not answer (${reasonOf(cause)}). Start it, or set SOMA_VAULT_URL to where it is.`, cause)
    }
  }

  /** What the status means for whoever runs the platform. */
  function refused(status: number, { method, path }: Question): SomaError {
    if (status === 403)
      return unavailable(
        `does not let the token of SOMA_VAULT_TOKEN ${method} ${path}: it has expired, or its policy does not allow it. docs/operations/real-servers.md has the policy.`,
      )
    if (status === 404)
      return unavailable(`has no key-value engine at "${mount}". Enable one: vault secrets enable -path=${mount} -version=2 kv`)
    if (status === 413)
      return unavailable('takes no entry of that size. Raise max_entry_size of its storage and max_request_size of its listener.')
    if (status === 503) return unavailable('is sealed. Unseal it: vault operator unseal')
    if (status === 501) return unavailable('is not initialized. Initialize it: vault operator init')
    return unavailable(`answered ${method} ${path} with status ${status}. Its own log says why.`)
  }

  async function find<Answer>(schema: z.ZodType<Answer>, question: Question): Promise<Answer | undefined> {
    const response = await send(question)
    const body: unknown = await response.json().catch(() => undefined)
    if (response.status === 404 && isNothingThere(body)) return undefined
    if (!response.ok) throw refused(response.status, question)
    const { data, success } = schema.safeParse(body)
    if (success) return data
    throw unavailable(
      `answered ${question.method} ${question.path} otherwise than a key-value engine of version 2 does. Is "${mount}" one?`,
    )
  }

  return {
    find,
    ask: async (schema, question) => {
      const answer = await find(schema, question)
      if (answer === undefined) throw refused(404, question)
      return answer
    },
    tell: async (question) => {
      const response = await send(question)
      await response.body?.cancel()
      if (!response.ok) throw refused(response.status, question)
    },
  }
}

/** For a path that holds nothing there are no errors; for one that no engine answers for there is one. */
function isNothingThere(body: unknown): boolean {
  const { errors } = (body ?? {}) as { errors?: unknown[] }
  return errors === undefined || errors.length === 0
}

function reasonOf(error: unknown): string {
  const { name, cause } = error as Error & { cause?: { code?: string } }
  if (name === 'TimeoutError') return `nothing within ${PATIENCE_MILLISECONDS / 1000} s`
  return cause?.code ?? name
}
