import type { BucketLocationConstraint, S3 } from '@aws-sdk/client-s3'
import { isNotFound } from './s3-failure.ts'

export interface S3Options {
  /** Of MinIO or another server that speaks S3. Without it, AWS. */
  endpoint?: string
  region: string
  bucket: string
  /** Without it, what the AWS SDK finds: variables, files, the role of the machine. */
  accessKeyId?: string
  secretAccessKey?: string
  /** After this long without a byte a request is given up, and sent anew twice. */
  idleTimeoutMilliseconds?: number
}

const CONNECT_TIMEOUT_MILLISECONDS = 5000
const IDLE_TIMEOUT_MILLISECONDS = 15_000
/** The server compares a body's digest with this header, which is signed. */
const BODY_DIGEST_HEADER = 'x-amz-content-sha256'

/** A client of the server, which is not asked anything yet. */
export async function connectToS3({ endpoint, region, accessKeyId, secretAccessKey, idleTimeoutMilliseconds }: S3Options): Promise<S3> {
  // The version is pinned to one that runs on Node 20; that later ones will not is nothing an operator can act on.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'
  const { S3 } = await import('@aws-sdk/client-s3')
  const s3 = new S3({
    endpoint,
    region,
    // Servers at an address of their own have no host name for each bucket.
    forcePathStyle: endpoint !== undefined,
    credentials: accessKeyId === undefined ? undefined : { accessKeyId, secretAccessKey: secretAccessKey ?? '' },
    maxAttempts: 3,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MILLISECONDS,
      socketTimeout: idleTimeoutMilliseconds ?? IDLE_TIMEOUT_MILLISECONDS,
    },
    // We send and check SHA-256 ourselves; the SDK would add a checksum of its own to each request and answer.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
  signWithKnownDigest(s3)
  return s3
}

/** For the signature the SDK would hash a body once more, and block the process meanwhile: a second for each gigabyte. */
function signWithKnownDigest(s3: S3): void {
  s3.middlewareStack.add(
    (next) => (call) => {
      const { ChecksumSHA256: digest } = call.input as { ChecksumSHA256?: string }
      const { headers } = call.request as { headers: Record<string, string> }
      if (digest) headers[BODY_DIGEST_HEADER] = Buffer.from(digest, 'base64').toString('hex')
      return next(call)
    },
    { name: 'signWithKnownDigest', step: 'build' },
  )
}

/** Makes the bucket unless it is there. */
export async function makeBucket(s3: S3, { bucket, region }: S3Options): Promise<void> {
  // AWS takes every region but its first as a constraint.
  const constraint = region === 'us-east-1' ? {} : { CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint } }
  await s3.createBucket({ Bucket: bucket, ...constraint }).catch((error: Error) => {
    // Another process was faster.
    if (error.name !== 'BucketAlreadyOwnedByYou') throw error
  })
}

/**
 * What the server calls itself, e.g. `MinIO` or `AmazonS3`. S3 has no version, and MinIO tells its own to administrators alone, whose keys
 * the platform should not have.
 */
export async function readServerName(s3: S3, bucket: string): Promise<string> {
  let server = 'S3'
  const request = new (await import('@aws-sdk/client-s3')).HeadBucketCommand({ Bucket: bucket })
  request.middlewareStack.add(
    (next) => async (call) => {
      const answer = await next(call)
      server = (answer.response as { headers: Record<string, string> }).headers.server ?? server
      return answer
    },
    { step: 'deserialize', priority: 'low' },
  )
  await s3.send(request).catch((error) => {
    // A bucket that is not made yet; the server is there.
    if (!isNotFound(error)) throw error
  })
  return `${server}, version not told`
}
