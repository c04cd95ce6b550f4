import { SomaError } from '@soma/contracts/errors'
import { Client, Connection, isGrpcServiceError, ServiceError } from '@temporalio/client'
import type { PayloadCodec } from '@temporalio/common'

/** Where Temporal is and what of it is ours. */
export interface TemporalServer {
  /** host:port of the frontend. */
  address: string
  namespace: string
  taskQueue: string
  apiKey?: string
  tls: boolean
}

/** gRPC's codes of a server that is not there, and of one that does not answer in time. */
const NO_ANSWER: ReadonlySet<number> = new Set([4, 14])
const CONNECT_WITHIN_MILLISECONDS = 10_000

/** @throws SomaError `dependency_unavailable` */
export async function connectClient(server: TemporalServer, codec: PayloadCodec): Promise<Client> {
  const connection = await answering(server, () =>
    Connection.connect({ address: server.address, tls: server.tls, apiKey: server.apiKey, connectTimeout: CONNECT_WITHIN_MILLISECONDS }),
  )
  return new Client({ connection, namespace: server.namespace, dataConverter: { payloadCodecs: [codec] } })
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
