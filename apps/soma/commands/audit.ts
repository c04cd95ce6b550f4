import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type LedgerVerdict, verifyLedger } from '@soma/kernel/ledger/verify-ledger'
import { answerOf } from '@soma/sdk/client'
import { EXIT } from '../exit-codes.ts'
import { collect } from '../inputs.ts'
import { download, openStream } from '../reports.ts'
import { type Configure, type Session, UsageError } from '../session.ts'
import { count, paragraph } from '../text.ts'

const EXPORT = '/v1/audit/export'
/** Problems that are shown to people; --json has more. */
const MOST_SHOWN = 10

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
Every decision and effect is an entry of a hash-chained ledger, with signed
checkpoints. Anybody can verify an export, without the server.

Examples:
  $ soma audit verify                       export from the server, verify
  $ soma audit verify evidence.jsonl        a file, offline
  $ soma audit verify ledger.jsonl --key ledger.pem
  $ soma audit export --output ledger.jsonl
  $ soma audit head
`,
  )
  command
    .command('verify [file]')
    .description('Verify an export: nothing changed, removed, inserted, reordered')
    .option('--key <file>', 'Public key (PEM) that must have signed it; else the keys in the export are taken', collect)
    .action((file: string | undefined, { key }: { key?: string[] }) => verify(session, file, key))
  command
    .command('export')
    .description('The whole ledger as JSON lines')
    .option('--output <file>', 'Where to (default: standard output)')
    .action(({ output }: { output?: string }) => exportLedger(session, output))
  command
    .command('head')
    .description('The last entry and the last signed checkpoint')
    .action(() => head(session))
}
export default configure

async function verify(session: Session, file: string | undefined, keyFiles: string[] | undefined): Promise<void> {
  const keys = keyFiles && (await Promise.all(keyFiles.map(readKey)))
  const source = file === undefined ? await openStream(await session.connect(), EXPORT) : await openFile(file)
  const verdict = await verifyLedger(jsonLines(source), keys)
  session.exitCode = verdict.ok ? EXIT.done : EXIT.failed
  session.terminal.answer(verdict, describe(session, verdict, keys !== undefined))
}

function describe({ terminal: { paint, width } }: Session, verdict: LedgerVerdict, hasTrustedKeys: boolean): string {
  const facts = [
    count(verdict.entries, 'entry', 'entries'),
    count(verdict.streams, 'stream'),
    count(verdict.checkpoints, 'checkpoint'),
    `${verdict.covered.toLocaleString('en')} covered by signatures`,
  ].join(', ')
  if (!verdict.ok) {
    const shown = verdict.problems.slice(0, MOST_SHOWN).flatMap(({ message }) => paragraph(message, width, 2))
    const more = verdict.problems.length - MOST_SHOWN
    return [`${paint.red('NOT VALID')}  ${facts}`, ...shown, ...(more > 0 ? [`  and ${more} more at least`] : [])].join('\n')
  }
  const whose = hasTrustedKeys ? [] : paragraph('Checked with the keys in the export itself; name the one you trust with --key.', width, 2)
  return [`${paint.green('valid')}  ${facts}`, ...(verdict.head ? [`  head ${verdict.head}`] : []), ...whose.map(paint.dim)].join('\n')
}

/** What is no JSON comes out as undefined, which is no line of a ledger: the verdict names its number. */
async function* jsonLines(source: Readable): AsyncGenerator<unknown> {
  for await (const line of createInterface({ input: source, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (line !== '') yield parseLine(line)
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

async function openFile(file: string): Promise<Readable> {
  const found = await stat(file).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(cause.code === 'ENOENT' ? `There is no file ${file}.` : `${file} can not be read (${cause.code}).`, { file })
  })
  if (!found.isFile()) throw new UsageError(`${file} is not a file.`, { file })
  return createReadStream(file)
}

function readKey(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`The key ${file} can not be read (${cause.code}).`, { file })
  })
}

async function exportLedger(session: Session, output: string | undefined): Promise<void> {
  const connection = await session.connect()
  if (output === undefined) {
    if (session.terminal.isJson) throw new UsageError('An export is JSON lines, not one document; name a file with --output.')
    return pipeline(await openStream(connection, EXPORT), process.stdout, { end: false })
  }
  await download(connection, EXPORT, output)
  const { size } = await stat(output)
  session.terminal.answer(
    { file: output, bytes: size },
    `Wrote ${output} (${count(size, 'byte')}). Verify it: ${session.typed(`audit verify ${output}`)}`,
  )
}

async function head(session: Session): Promise<void> {
  const { client } = await session.connect()
  const last = await answerOf(client.GET('/v1/audit/head'))
  const { checkpoint } = last
  session.terminal.answer(
    last,
    [
      `position    ${last.position}`,
      `hash        ${last.hash}`,
      checkpoint
        ? `checkpoint  through ${checkpoint.through}, ${count(checkpoint.count, 'entry', 'entries')}, signed ${checkpoint.at} by ${checkpoint.keyId}`
        : 'checkpoint  none yet',
    ].join('\n'),
  )
}
