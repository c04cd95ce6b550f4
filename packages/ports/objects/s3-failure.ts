import { SomaError } from '@soma/contracts/errors'

/** What the SDK throws: errors of the server have its code as `name`, those of the network have none. */
interface S3Failure extends Error {
  $metadata?: { httpStatusCode?: number; requestId?: string }
}

/** MinIO's words for a full disk and for a bucket that has reached its quota. */
const FULL = new Set(['XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded'])

/** True for an object or a bucket that is not there. The answer to a HEAD has no body that says which. */
export function isNotFound(error: unknown): boolean {
  return (error as S3Failure).$metadata?.httpStatusCode === 404
}

export function isMissingBucket(error: unknown): boolean {
  return (error as S3Failure).name === 'NoSuchBucket'
}

/** What a failed request means to whoever asked for it. */
export function explainFailure(cause: unknown, { endpoint, bucket }: { endpoint?: string; bucket: string }): SomaError {
  const { name, message, $metadata } = cause as S3Failure
  const server = endpoint ?? 'AWS'
  const details = { server, bucket, status: $metadata?.httpStatusCode, requestId: $metadata?.requestId }
  if (FULL.has(name)) {
    return new SomaError(
      'disk_full',
      `The object store at ${server} has no space left, so the object was not stored. Free some space, or raise the quota of bucket "${bucket}".`,
      details,
      { cause },
    )
  }
  if (name === 'CredentialsProviderError' || $metadata?.httpStatusCode === 401 || $metadata?.httpStatusCode === 403) {
    return new SomaError(
      'dependency_unavailable',
      `The object store at ${server} does not let us in (${name}). Check SOMA_S3_ACCESS_KEY_ID and SOMA_S3_SECRET_ACCESS_KEY, and that they may list, read, write and delete in bucket "${bucket}".`,
      details,
      { cause },
    )
  }
  return new SomaError(
    'dependency_unavailable',
    `The object store at ${server} does not answer: ${message || name}. See that it runs and that SOMA_S3_ENDPOINT is right.`,
    details,
    { cause },
  )
}
