import { SomaError } from '@soma/contracts/errors'

/** Reads a stream of bytes by line and by count. */
export function bytesOf(stream: AsyncIterable<Buffer>) {
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
      if (held.length === 0 && !(await more())) throw new SomaError('tool_failed', `The stream ended ${left} bytes too early.`)
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
