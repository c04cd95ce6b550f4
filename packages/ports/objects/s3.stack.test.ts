import { randomBytes } from 'node:crypto'
import { S3 } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fromStack } from '../testing.ts'
import { objectsConformance } from './conformance.ts'
import type { Objects } from './port.ts'
import { openS3Objects } from './s3.ts'
import type { S3Options } from './s3-client.ts'

const bucket = `promises-${randomBytes(6).toString('hex')}`
const tenant = 'acme'
let options: S3Options
let server: S3
let objects: Objects

beforeAll(async () => {
  options = {
    endpoint: fromStack('SOMA_S3_ENDPOINT'),
    region: 'us-east-1',
    bucket,
    accessKeyId: fromStack('SOMA_S3_ACCESS_KEY_ID'),
    secretAccessKey: fromStack('SOMA_S3_SECRET_ACCESS_KEY'),
  }
  const { endpoint, region, accessKeyId = '', secretAccessKey = '' } = options
  server = new S3({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
  objects = await openS3Objects(options)
})
afterAll(async () => {
  for (;;) {
    const { Contents = [] } = await server.listObjectsV2({ Bucket: bucket })
    if (Contents.length === 0) break
    await server.deleteObjects({ Bucket: bucket, Delete: { Objects: Contents.map(({ Key }) => ({ Key })) } })
  }
  await server.deleteBucket({ Bucket: bucket })
  await objects.close()
  server.destroy()
})

const keyOf = (owner: string, digest: string) => `${owner}/${digest.replace(':', '/')}`

objectsConformance('s3', async () => {
  const opened = await openS3Objects(options)
  return {
    ...opened,
    corrupt: async (owner, digest) => {
      await server.putObject({ Bucket: bucket, Key: keyOf(owner, digest), Body: 'abd', ContentType: 'text/plain' })
    },
  }
})

test('what is stored whole is not sent again', async () => {
  const content = randomBytes(1000)
  const { digest } = await objects.put(tenant, content, 'text/plain')
  const object = { Bucket: bucket, Key: keyOf(tenant, digest) }
  // A mark that any new upload would take away.
  await server.putObjectTagging({ ...object, Tagging: { TagSet: [{ Key: 'mark', Value: 'first upload' }] } })
  await objects.put(tenant, content, 'text/plain')
  expect((await server.getObjectTagging(object)).TagSet).toEqual([{ Key: 'mark', Value: 'first upload' }])
  await objects.put(tenant, content, 'text/markdown')
  expect((await server.getObjectTagging(object)).TagSet).toEqual([])
})

test('the server itself checks what arrives and keeps the checksum', async () => {
  const { digest } = await objects.put(tenant, randomBytes(1000), 'text/plain')
  const head = await server.headObject({ Bucket: bucket, Key: keyOf(tenant, digest), ChecksumMode: 'ENABLED' })
  expect(Buffer.from(head.ChecksumSHA256 ?? '', 'base64').toString('hex')).toBe(digest.slice(7))
})

test('a bucket that is missing holds nothing, and the first object makes it', async () => {
  const missing = { ...options, bucket: `${bucket}-missing` }
  const opened = await openS3Objects(missing)
  expect(await opened.version()).toBe('MinIO, version not told')
  expect(await opened.list(tenant)).toEqual([])
  const unknown = `sha256:${'0'.repeat(64)}`
  expect(await opened.stat(tenant, unknown)).toBeUndefined()
  await expect(opened.get(tenant, unknown)).rejects.toMatchObject({ code: 'not_found' })
  await opened.delete(tenant, unknown)
  const put = await Promise.all([1, 2, 3].map((number) => opened.put(tenant, Buffer.from(`${number}`), 'text/plain')))
  expect(await opened.list(tenant)).toHaveLength(3)
  for (const { digest } of put) await opened.delete(tenant, digest)
  await server.deleteBucket({ Bucket: missing.bucket })
  await opened.close()
})

test('a page is full although some of its objects went away while it was made', async () => {
  const owner = 'pages'
  const put = await Promise.all(Array.from({ length: 40 }, (_, at) => objects.put(owner, Buffer.from(`${at}`), 'text/plain')))
  const digests = put.map(({ digest }) => digest).sort()
  const kept = digests.filter((_, at) => at % 2 === 0)
  const removal = Promise.all(digests.filter((_, at) => at % 2 === 1).map((digest) => objects.delete(owner, digest)))
  const page = (await objects.list(owner, { limit: 15 })).map(({ digest }) => digest)
  await removal
  expect(page).toHaveLength(15)
  expect(await objects.list(owner)).toHaveLength(kept.length)
})

test('a wrong key is said to be one, without the secret', async () => {
  const opened = await openS3Objects({ ...options, secretAccessKey: 'not-the-secret' })
  for (const ask of [opened.version, () => opened.list(tenant), () => opened.put(tenant, Buffer.from('x'), 'text/plain')]) {
    const refusal = await ask().catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code: 'dependency_unavailable', message: expect.stringContaining('SOMA_S3_SECRET_ACCESS_KEY') })
    expect(JSON.stringify(refusal)).not.toContain('not-the-secret')
  }
  await opened.close()
})
