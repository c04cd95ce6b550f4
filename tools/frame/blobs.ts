import { SomaError } from '@soma/contracts/errors'
import { type Repository, streamGit } from './git.ts'

export type Blob =
  | { oid: string; kind: 'loaded'; size: number; content: Buffer }
  /** Larger than `maxBytes`; passed over, never held in memory. */
  | { oid: string; kind: 'too_large'; size: number }
  /** Not in the repository (a shallow or partial clone, a submodule's commit), or not a blob. */
  | { oid: string; kind: 'missing' }

/**
 * Contents of blobs, in the order asked for, through one `git cat-file --batch`. At the most one blob of `maxBytes` and one chunk
 * are in memory.
 * @param options.maxBytes default 1 MiB
 */
export async function* readBlobs(
  repository: Repository,
  oids: Iterable<string> | AsyncIterable<string>,
  options: { maxBytes?: number } = {},
): AsyncGenerator<Blob, void, void> {
  const maxBytes = options.maxBytes ?? 1024 * 1024
  const answers = bytesOf(streamGit(repository, ['cat-file', '--batch', '--buffer'], { input: requests(oids) }))
  try {
    for (let header = await answers.line(); header !== undefined; header = await answers.line()) {
      const [oid = '', type, sizeText] = header.split(' ')
      const size = Number(sizeText)
      if (type === 'missing') yield { oid, kind: 'missing' }
      else if (type !== 'blob') {
        await answers.skip(size + 1)
        yield { oid, kind: 'missing' }
      } else if (size > maxBytes) {
        await answers.skip(size + 1)
        yield { oid, kind: 'too_large', size }
      } else {
        const content = await answers.take(size)
        await answers.skip(1)
        yield { oid, kind: 'loaded', size, content }
      }
    }
  } finally {
    await answers.close()
  }
}

async function* requests(oids: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  for await (const oid of oids) {
    if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(oid)) throw new SomaError('invalid_input', `"${oid}" is not a git object id.`, { oid })
    yield `${oid}\n`
  }
}

/** Reads a stream of bytes by line and by count. */
function bytesOf(stream: AsyncIterable<Buffer>) {
  const chunks = stream[Symbol.asyncIterator]()
  let held: Buffer = Buffer.alloc(0)

  async function more(): Promise<boolean> {
    const next = await chunks.next()
    if (next.done) return false
    held = next.value
    return true
  }
  async function* parts(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (held.length === 0 && !(await more())) throw new SomaError('tool_failed', 'git ended in the middle of an object.')
      const part = held.subarray(0, left)
      held = held.subarray(part.length)
      left -= part.length
      yield part
    }
  }

  return {
    async line(): Promise<string | undefined> {
      let text = ''
      while (held.length > 0 || (await more())) {
        const end = held.indexOf(10)
        text += held.toString('latin1', 0, end === -1 ? held.length : end)
        held = end === -1 ? Buffer.alloc(0) : held.subarray(end + 1)
        if (end !== -1) return text
      }
      return undefined
    },
    async take(count: number): Promise<Buffer> {
      const content = Buffer.allocUnsafe(count)
      let at = 0
      for await (const part of parts(count)) at += part.copy(content, at)
      return content
    },
    async skip(count: number): Promise<void> {
      for await (const _ of parts(count));
    },
    async close(): Promise<void> {
      await chunks.return?.()
    },
  }
}
