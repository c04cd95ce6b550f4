import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { UsageError } from './session.ts'

/** The lines of a stream as they come, without their ends. */
export async function* linesOf(source: Readable): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of source.setEncoding('utf8')) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() as string
    yield* lines
  }
  if (rest !== '') yield rest
}

/** @throws UsageError when there is no such file, or it is none */
export async function openFile(file: string): Promise<Readable> {
  const found = await stat(file).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(cause.code === 'ENOENT' ? `There is no file ${file}.` : `${file} can not be read (${cause.code}).`, { file })
  })
  if (!found.isFile()) throw new UsageError(`${file} is not a file.`, { file })
  return createReadStream(file)
}
