import { setTimeout as pass } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import type { Principal } from '@soma/contracts/tenant'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { IdempotencyStore } from './idempotency.ts'

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])
const KEPT_HEADERS = ['content-type', 'location', 'etag']
/** Answers that say "not now": the request did nothing, and may be sent again with its key. */
const NOT_NOW = new Set([429, 502, 503, 504, 507])
/** For an answer that could not be kept: together as long as the lock on its key. */
const LATER_ATTEMPTS = 60
const LATER_EVERY_MILLISECONDS = 2000

interface UnderWay {
  tenant: string
  key: string
  token: string
}

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * The caller's Idempotency-Key, for handlers to derive ids from: a crash between an effect and its stored answer lets the same
     * request run once more, and an id that follows from the key then finds what is already there.
     */
    idempotencyKey: string | undefined
    idempotencyUnderWay: UnderWay | undefined
  }
}

export function isWrite(method: string): boolean {
  return WRITES.has(method)
}

/** Gives a write with an Idempotency-Key the answer it got before. Comes after the gate: who may not do it, learns nothing. */
export function addIdempotentWrites(
  app: FastifyInstance,
  store: IdempotencyStore,
  principalOf: (request: FastifyRequest) => Principal,
): void {
  app.decorateRequest('idempotencyKey', undefined)
  app.decorateRequest('idempotencyUnderWay', undefined)

  app.addHook('preHandler', async (request, reply) => {
    const header = request.headers['idempotency-key']
    if (header === undefined || !WRITES.has(request.method) || request.routeOptions.config.action?.public) return
    const key = validKey(header, request)
    const principal = principalOf(request)
    const begun = await store.begin(principal.tenant, key, digestOf(request, principal))
    if (begun.state === 'answered') return repeatAnswer(reply, begun.answer)
    if (begun.state === 'reused')
      throw new SomaError(
        'idempotency_key_reused',
        `The Idempotency-Key ${key} was used before with another request. Take a new key for a new request.`,
        { key },
      )
    if (begun.state === 'in_progress')
      throw new SomaError('conflict', `The first request with the Idempotency-Key ${key} is still under way. Ask again later.`, {
        key,
        retryAfterSeconds: Math.min(begun.retryAfterSeconds, 5),
      })
    request.idempotencyKey = key
    request.idempotencyUnderWay = { tenant: principal.tenant, key, token: begun.token }
  })

  app.addHook('onSend', async (request, reply, payload) => {
    const underWay = request.idempotencyUnderWay
    if (!underWay) return
    request.idempotencyUnderWay = undefined
    const keep = () => remember(store, underWay, reply, payload)
    await keep().catch((error) => {
      // The work is done and its answer is at hand; a client that repeats waits until it is kept.
      request.log.error({ err: error }, 'the answer could not be kept for its Idempotency-Key')
      void keepLater(keep)
    })
  })
}

/** Tries again until the answer is kept, or the lock on the key is over. */
async function keepLater(keep: () => Promise<void>): Promise<void> {
  for (let attempt = 1; attempt <= LATER_ATTEMPTS; attempt++) {
    await pass(LATER_EVERY_MILLISECONDS, undefined, { ref: false })
    const isKept = await keep().then(
      () => true,
      () => false,
    )
    if (isKept) return
  }
}

function validKey(header: string | string[], request: FastifyRequest): string {
  if (request.routeOptions.config.idempotency === false)
    throw new SomaError('invalid_input', 'This address answers with a secret, which is not stored, so it takes no Idempotency-Key.')
  if (typeof header === 'string' && /^[\x21-\x7e]{1,255}$/.test(header)) return header
  throw new SomaError('invalid_input', 'Idempotency-Key must be 1 to 255 visible ASCII characters, e.g. a UUID.')
}

/** The caller is part of the request: another one never gets the answer. */
function digestOf(request: FastifyRequest, principal: Principal): string {
  return sha256(JSON.stringify([request.method, request.url, principal.id, request.body ?? null]))
}

function repeatAnswer(reply: FastifyReply, answer: { status: number; headers: Record<string, string>; body: string }): FastifyReply {
  return reply
    .code(answer.status)
    .headers({ ...answer.headers, 'idempotency-replayed': 'true' })
    .serializer(String)
    .send(answer.body)
}

async function remember(store: IdempotencyStore, { tenant, key, token }: UnderWay, reply: FastifyReply, payload: unknown): Promise<void> {
  const body = payload === undefined || payload === null ? '' : payload
  const isKept = typeof body === 'string' && !NOT_NOW.has(reply.statusCode)
  if (!isKept) return store.release(tenant, key, token)
  const headers = KEPT_HEADERS.flatMap((name) => {
    const value = reply.getHeader(name)
    return value === undefined ? [] : [[name, String(value)] as const]
  })
  await store.finish(tenant, key, token, { status: reply.statusCode, headers: Object.fromEntries(headers), body })
}
