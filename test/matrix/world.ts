import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ADAPTERS } from '@soma/cli/adapters'
import { SERVICES } from '@soma/cli/services'
import type { Principal } from '@soma/contracts/tenant'
import { issueApiKey } from '@soma/kernel/auth/api-keys'
import { Config } from '@soma/kernel/config/schema'
import type { Needs } from '@soma/kernel/http/service'
import { openPlatform } from '@soma/kernel/platform/open-platform'
import { createLogger } from '@soma/kernel/telemetry/log'

const PASSWORD = 'correct horse battery staple'

export interface Call {
  method: string
  path: string
  body?: unknown
  token?: string
}

export interface Answer {
  status: number
  code: string | undefined
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: each route answers with a shape of its own
  body: any
}

/** Somebody who has signed in, and what else they hold. */
export interface Person {
  userId: string
  token: string
  refreshToken: string
  sessionId: string
  email: string
}

export type MatrixWorld = Awaited<ReturnType<typeof openMatrixWorld>>

/** The platform on its embedded parts, all services in one process, spoken to without a network. */
export async function openMatrixWorld() {
  const folder = await mkdtemp(join(tmpdir(), 'soma-matrix-'))
  const config = Config.parse({
    data: join(folder, 'data'),
    http: { port: 0, maxEventLoopDelayMilliseconds: 0, publicUrl: 'http://localhost:8000' },
    rateLimit: { perMinute: 10_000_000, unauthenticatedPerMinute: 10_000_000 },
    log: { level: 'silent' },
  })
  const platform = await openPlatform({
    config,
    services: SERVICES,
    adapters: ADAPTERS,
    logger: await createLogger(config.log),
    version: 'test',
  })
  const { sql, tokens } = platform.needs as Needs
  const { server } = platform

  /** Ends with the headers where an answer never ends by itself. */
  async function call({ method, path, body, token }: Call): Promise<Answer> {
    const answer = await server.app.inject({
      method: method as 'GET',
      url: path,
      headers: token ? { authorization: `Bearer ${token}` } : {},
      ...(body === undefined ? {} : { payload: body as object }),
      payloadAsStream: true,
      // Attempts to sign in are counted by address.
      remoteAddress: nextAddress(),
    })
    const isEndless = answer.statusCode === 200 && String(answer.headers['content-type']).startsWith('text/event-stream')
    const text = isEndless ? '' : await textOf(answer.stream())
    if (isEndless) answer.stream().destroy()
    const isJson = String(answer.headers['content-type']).includes('json')
    const parsed = isJson && text !== '' ? parseFirst(text) : undefined
    return { status: answer.statusCode, code: parsed?.code, text, body: parsed }
  }

  return {
    sql,
    tokens,
    password: PASSWORD,
    audience: config.auth.audience,
    routes: server.routes,
    call,
    /** `project` when the first message is one, `closed` with its code, or the status with which it was refused. */
    async openSocket(path: string, token?: string): Promise<string> {
      try {
        const socket = await server.app.injectWS(path, { headers: token ? { authorization: `Bearer ${token}` } : {} })
        return await new Promise<string>((resolve) => {
          socket.once('message', () => resolve('project'))
          socket.once('close', (code: number) => resolve(`closed ${code}`))
        }).finally(() => socket.terminate())
      } catch (error) {
        return /Unexpected server response: (\d+)/.exec(String(error))?.[1] ?? String(error)
      }
    },
    /** The platform's own key for a tenant, as the first administrator has it. */
    async keyOf(tenant: string): Promise<string> {
      return (await issueApiKey(sql, { tenant, name: 'first', capabilities: ['*'] }, 'platform')).key
    },
    /** A user of the tenant with a role, signed in. */
    async newPerson(key: string, role: string): Promise<Person> {
      const email = `${randomUUID()}@example.org`
      const invited = await call({ method: 'POST', path: '/v1/invitations', token: key, body: { email, roles: [role] } })
      const joined = await call({
        method: 'POST',
        path: '/v1/invitations/accept',
        body: { token: invited.body.token, password: PASSWORD },
      })
      if (joined.status !== 201) throw new Error(`A ${role} did not join: ${invited.text} ${joined.text}`)
      const { userId, accessToken, refreshToken, sessionId } = joined.body
      return { userId, token: accessToken, refreshToken, sessionId, email }
    },
    /** A token for whoever the credentials stand for, as it should not be accepted. */
    async spoiled(principal: Principal): Promise<{ expired: string; otherAudience: string; revoked: string }> {
      const issue = (audience: string, ttlSeconds: number) => tokens.issue(principal, { audience, ttlSeconds })
      const revoked = await issue(config.auth.audience, 600)
      await tokens.revocations.revoke({ tenant: principal.tenant, kind: 'token', value: (await tokens.verify(revoked)).id })
      return { expired: await issue(config.auth.audience, -120), otherAudience: await issue('somebody-else', 600), revoked }
    },
    async close() {
      await platform.lifecycle.stop('the tests ended')
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

let addresses = 0
function nextAddress(): string {
  addresses++
  return `10.${(addresses >> 16) & 255}.${(addresses >> 8) & 255}.${addresses & 255}`
}

async function textOf(stream: AsyncIterable<Buffer | string>): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString()
}

/** Of JSON lines, the first. */
function parseFirst(text: string) {
  try {
    return JSON.parse(text)
  } catch {
    return JSON.parse(text.slice(0, text.indexOf('\n')).replace('\u001e', ''))
  }
}
