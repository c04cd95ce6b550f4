import { SomaError } from '@soma/contracts/errors'
import { Client, Connection, defaultGrpcRetryOptions, isGrpcServiceError, makeGrpcRetryInterceptor, ServiceError } from '@temporalio/client'
import type { PayloadCodec } from '@temporalio/common'

/** Where Temporal is and what of it is ours. */
export interface TemporalServer {
  /** host:port of the frontend. */
  address?: string
  namespace: string
  taskQueue: string
  apiKey?: string
  tls: boolean
}

/** gRPC's codes of a server that is not there, and of one that does not answer in time. */
const NO_ANSWER: ReadonlySet<number> = new Set([4, 14])
const CONNECT_WITHIN_MILLISECONDS = 10_000

/** Temporal's client, of which every call says in the platform's words that there was no answer. */
export interface TemporalClient {
  /** @throws SomaError `dependency_unavailable`, and what Temporal itself answers */
  call<Result>(work: (client: Client) => Promise<Result>): Promise<Result>
  /** Gives up the calls under way and waits for them. */
  close(): Promise<void>
}

/** @throws SomaError `invalid_input` when no address is configured, `dependency_unavailable` when nothing answers there */
export async function connectClient(server: TemporalServer, codec: PayloadCodec): Promise<TemporalClient> {
  const { address, tls, apiKey, namespace } = server
  if (!address) throw new SomaError('invalid_input', 'Nothing says where Temporal is. Set SOMA_TEMPORAL_ADDRESS, e.g. localhost:7233.')
  let isClosing = false
  const retry = defaultGrpcRetryOptions()
  const interceptors = [
    makeGrpcRetryInterceptor({ ...retry, retryableDecider: (attempt, status) => !isClosing && retry.retryableDecider(attempt, status) }),
  ]
  const connection = await answering(server, () =>
    Connection.connect({ address, tls, apiKey, connectTimeout: CONNECT_WITHIN_MILLISECONDS, interceptors }),
  )
  const client = new Client({ connection, namespace, dataConverter: { payloadCodecs: [codec] } })
  const underWay = new Map<Promise<unknown>, AbortController>()

  return {
    async call(work) {
      // One a call: the library never takes its listener off a signal again.
      const abort = new AbortController()
      const answer = client.withAbortSignal(abort.signal, () => work(client))
      underWay.set(answer, abort)
      try {
        return await answering(server, () => answer)
      } finally {
        underWay.delete(answer)
      }
    },
    async close() {
      isClosing = true
      for (const abort of underWay.values()) abort.abort()
      // A call that is tried again on a closed connection would throw where nobody catches it.
      await Promise.allSettled(underWay.keys())
      await connection.close()
    },
  }
}

/** Runs a call; when the server gives no answer, says so in the platform's words. */
export async function answering<Result>(server: TemporalServer, call: () => Promise<Result>): Promise<Result> {
  try {
    return await call()
  } catch (cause) {
    if (!isNoAnswer(cause)) throw cause
    const message = `Temporal does not answer at ${server.address}. Start it, or set SOMA_TEMPORAL_ADDRESS to where it is.`
    throw new SomaError('dependency_unavailable', message, { address: server.address }, { cause })
  }
}

function isNoAnswer(error: unknown): boolean {
  if (isGrpcServiceError(error)) return NO_ANSWER.has(error.code)
  if (error instanceof ServiceError) return isNoAnswer(error.cause)
  // What the client throws when it never got a connection.
  return error instanceof Error && /failed to connect|deadline|ECONNREFUSED/i.test(error.message)
}
