import { createWriteStream } from 'node:fs'
import { stat, truncate } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Checkpoint } from '@soma/kernel/ledger/checkpoint'
import { readLine } from '@soma/kernel/ledger/ledger-line'
import type { Connection } from './connection.ts'
import { linesOf, openFile } from './lines.ts'
import { openStream } from './reports.ts'
import { UsageError } from './session.ts'

/** Where an export that was begun goes on: behind the last checkpoint that is in it. */
interface Begun {
  bytes: number
  checkpoint: Checkpoint
}

/**
 * Goes on with the export in a file: what was added to the ledger since, or what was missing when it was interrupted.
 * @param pathAfter where the ledger after a position is
 * @throws UsageError when the file holds no export to go on with, or one of another ledger
 */
export async function continueExport(connection: Connection, file: string, pathAfter: (position: string) => string): Promise<void> {
  const { bytes, checkpoint } = await findEnd(file)
  const lines = linesOf(await openStream(connection, pathAfter(checkpoint.through)))
  const header = readLine((await lines.next()).value ?? '')
  const after = header && 'ledger' in header ? header.after : undefined
  if (after?.signature !== checkpoint.signature)
    throw new UsageError(
      `${file} holds another ledger than the server: the checkpoint through position ${checkpoint.through} is not in it.`,
      {
        file,
      },
    )
  await truncate(file, bytes)
  await pipeline(Readable.from(withEnds(lines)), createWriteStream(file, { flags: 'a' }))
}

async function* withEnds(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`
}

async function findEnd(file: string): Promise<Begun> {
  const { size } = await stat(file)
  let bytes = 0
  let begun: Begun | undefined
  for await (const text of linesOf(await openFile(file))) {
    bytes += Buffer.byteLength(text) + 1
    const isWritten = bytes <= size
    const line = text.startsWith('{"checkpoint":') && isWritten ? readLine(text) : undefined
    if (line && 'checkpoint' in line) begun = { bytes, checkpoint: line.checkpoint }
  }
  if (!begun) throw new UsageError(`${file} holds no checkpoint that an export could go on behind. Export it anew.`, { file })
  return begun
}
