import { SomaError } from '@soma/contracts/errors'

/** What the client throws: for an answer of the server its status and body, for the network what `fetch` said. */
interface QdrantFailure extends Error {
  status?: number
  data?: { status?: { error?: string } }
  cause?: Error
}

const FULL_DISK = /No space left on device|not enough (disk )?space|Disk quota exceeded/i

export function isStatus(error: unknown, ...statuses: number[]): boolean {
  return statuses.includes((error as QdrantFailure).status ?? 0)
}

/** What a failed request means to whoever asked for it. */
export function explainFailure(cause: unknown, server: string): SomaError {
  if (SomaError.is(cause)) return cause
  const { status, data, message, cause: origin } = cause as QdrantFailure
  const said = data?.status?.error ?? origin?.message ?? message
  const details = { server, status }
  if (FULL_DISK.test(said)) {
    const text = `The disk of Qdrant at ${server} is full, so the records were not stored. Free some space and try again; what was stored before is safe.`
    return new SomaError('disk_full', text, details, { cause })
  }
  if (status === 401 || status === 403) {
    const text = `Qdrant at ${server} does not let us in: ${said}. Check SOMA_QDRANT_API_KEY.`
    return new SomaError('dependency_unavailable', text, details, { cause })
  }
  if (status === 400 || status === 413 || status === 422) {
    return new SomaError('invalid_input', `Qdrant refused the request: ${said}`, details, { cause })
  }
  const text = `Qdrant at ${server} does not answer: ${said}. See that it runs and that SOMA_QDRANT_URL is right.`
  return new SomaError('dependency_unavailable', text, details, { cause })
}
