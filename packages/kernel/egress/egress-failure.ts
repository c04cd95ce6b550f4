import { SomaError } from '@soma/contracts/errors'
import { blocked, hostOf } from './egress-rules.ts'

const SENTENCES: Record<string, (host: string) => string> = {
  ENOTFOUND: (host) => `There is no host named ${host}.`,
  EAI_AGAIN: (host) => `The name ${host} could not be looked up: the name server does not answer.`,
  ECONNREFUSED: (host) => `${host} refused the connection: nothing listens there.`,
  EHOSTUNREACH: (host) => `${host} can not be reached from this machine.`,
  ENETUNREACH: (host) => `The network of ${host} can not be reached from this machine.`,
  ETIMEDOUT: (host) => `${host} did not take the connection in time.`,
  UND_ERR_CONNECT_TIMEOUT: (host) => `${host} did not take the connection in time.`,
}

/** Turns what a failed request throws into an error that tells who, what and whether trying again can help. */
export function egressFailure(error: unknown, url: URL): SomaError {
  const host = hostOf(url)
  const causes = [...causesOf(error)]
  const own = causes.find((cause) => SomaError.is(cause))
  if (own) return own
  if (causes.some((cause) => cause.message === 'bad port')) {
    return blocked(host, 'port', `Port ${url.port} belongs to another protocol than HTTP and is never connected to.`)
  }

  const code = causes.map(codeOf).find((found) => found !== undefined)
  const details = { host, ...(code && { cause: code }) }
  const sentence = code && SENTENCES[code]
  if (sentence) return new SomaError('tool_unavailable', sentence(host), details, { cause: error })
  if (code && /CERT|SELF_SIGNED|VERIFY|ERR_TLS|ERR_SSL|EPROTO/.test(code)) {
    const reason = causes.find((cause) => codeOf(cause) === code)?.message
    return new SomaError(
      'tool_unavailable',
      `No trusted TLS connection to ${host} can be made: ${reason}.`,
      { ...details, retryable: false },
      { cause: error },
    )
  }
  return new SomaError('tool_failed', `The exchange with ${host} broke off: ${causes.at(-1)?.message ?? String(error)}.`, details, {
    cause: error,
  })
}

/** The error and all it came from, outermost first. */
function* causesOf(error: unknown): Generator<Error> {
  if (!(error instanceof Error)) return
  yield error
  if (error instanceof AggregateError) for (const one of error.errors) yield* causesOf(one)
  yield* causesOf(error.cause)
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
