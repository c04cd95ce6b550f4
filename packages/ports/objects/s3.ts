import type { ObjectRef } from '@soma/contracts/operation'
import { requireTenant } from '@soma/contracts/requirements'
import type { Objects } from './port.ts'
import { digestOf, objectNotFound, requireDigest, requireIntact, requireMediaType, requireObjectSize, requirePageSize } from './rules.ts'
import { connectToS3, makeBucket, readServerName, type S3Options } from './s3-client.ts'
import { explainFailure, isMissingBucket, isNotFound } from './s3-failure.ts'

/** Requests at a time for the media types of a page: a listing does not hold them. */
const HEADS_AT_ONCE = 16
const UNKNOWN_MEDIA_TYPE = 'application/octet-stream'

/**
 * The objects port on MinIO, AWS S3 or what else speaks S3: `<tenant>/sha256/<64 hex digits>` in one bucket. An object goes over in
 * one request with its SHA-256, which the server checks and keeps; so an object that is there whole is never sent again. The first
 * `put` makes the bucket when it is missing. Nothing is asked of the server at opening. The SDK repeats requests, which is safe:
 * each of them may arrive twice.
 */
export async function openS3Objects(options: S3Options): Promise<Objects> {
  const { bucket } = options
  const s3 = await connectToS3(options)

  const explained = async <Result>(request: Promise<Result>): Promise<Result> => {
    try {
      return await request
    } catch (error) {
      throw explainFailure(error, options)
    }
  }

  const upload = async (key: string, content: Uint8Array, { digest, mediaType }: ObjectRef): Promise<void> => {
    const object = { Bucket: bucket, Key: key, Body: content, ContentType: mediaType, ChecksumSHA256: inBase64(digest) }
    await s3.putObject(object).catch(async (error) => {
      if (!isMissingBucket(error)) throw error
      await makeBucket(s3, options)
      await s3.putObject(object)
    })
  }

  const describe = async (key: string): Promise<(ObjectRef & { checksum?: string }) | undefined> => {
    try {
      const head = await s3.headObject({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' })
      const mediaType = head.ContentType ?? UNKNOWN_MEDIA_TYPE
      return { digest: digestIn(key), size: head.ContentLength ?? 0, mediaType, checksum: head.ChecksumSHA256 }
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  /** False for what another program put under this name: the server's checksum is of what it stored. */
  const isStored = async (key: string, { digest, mediaType }: ObjectRef): Promise<boolean> => {
    const stored = await describe(key)
    return stored?.checksum === inBase64(digest) && stored.mediaType === mediaType
  }

  const read = async (key: string): Promise<Uint8Array | undefined> => {
    try {
      const { Body } = await s3.getObject({ Bucket: bucket, Key: key })
      return await Body?.transformToByteArray()
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  const listKeys = async (prefix: string, after: string, limit: number): Promise<{ keys: string[]; hasMore: boolean }> => {
    try {
      const page = await s3.listObjectsV2({ Bucket: bucket, Prefix: prefix, StartAfter: after, MaxKeys: limit })
      return { keys: (page.Contents ?? []).flatMap(({ Key }) => Key ?? []), hasMore: page.IsTruncated === true }
    } catch (error) {
      if (isMissingBucket(error)) return { keys: [], hasMore: false }
      throw error
    }
  }

  const list = async (prefix: string, after: string, limit: number): Promise<ObjectRef[]> => {
    const { keys, hasMore } = await listKeys(prefix, after, limit)
    const found: ObjectRef[] = []
    for (let at = 0; at < keys.length; at += HEADS_AT_ONCE) {
      const described = await Promise.all(keys.slice(at, at + HEADS_AT_ONCE).map(describe))
      // What was deleted since the listing is left out.
      for (const object of described) if (object) found.push({ digest: object.digest, size: object.size, mediaType: object.mediaType })
    }
    if (!hasMore || found.length === limit) return found
    return [...found, ...(await list(prefix, keys.at(-1) ?? after, limit - found.length))]
  }

  return {
    put: async (tenant, content, mediaType) => {
      requireMediaType(mediaType)
      requireObjectSize(content.byteLength)
      const digest = await digestOf(content)
      const key = keyOf(tenant, digest)
      const reference = { digest, size: content.byteLength, mediaType }
      if (!(await explained(isStored(key, reference)))) await explained(upload(key, content, reference))
      return reference
    },
    get: async (tenant, digest) => {
      const content = await explained(read(keyOf(tenant, digest)))
      if (!content) throw objectNotFound(tenant, digest)
      await requireIntact(content, tenant, digest)
      return content
    },
    stat: async (tenant, digest) => {
      const stored = await explained(describe(keyOf(tenant, digest)))
      return stored && { digest, size: stored.size, mediaType: stored.mediaType }
    },
    delete: async (tenant, digest) => {
      const gone = s3.deleteObject({ Bucket: bucket, Key: keyOf(tenant, digest) })
      await explained(
        gone.catch((error) => {
          if (!isMissingBucket(error)) throw error
        }),
      )
    },
    list: async (tenant, { after, limit = 100 } = {}) => {
      requireTenant(tenant)
      requirePageSize(limit)
      const prefix = `${tenant}/sha256/`
      return explained(list(prefix, after === undefined ? prefix : keyOf(tenant, after), limit))
    },
    version: () => explained(readServerName(s3, bucket)),
    close: async () => s3.destroy(),
  }
}

function keyOf(tenant: string, digest: string): string {
  requireTenant(tenant)
  return `${tenant}/sha256/${requireDigest(digest)}`
}

function digestIn(key: string): string {
  return `sha256:${key.slice(key.lastIndexOf('/') + 1)}`
}

/** The digest as S3 says it. */
function inBase64(digest: string): string {
  return Buffer.from(requireDigest(digest), 'hex').toString('base64')
}
