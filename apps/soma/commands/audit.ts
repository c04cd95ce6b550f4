import { readFile, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { Checkpoint } from '@soma/kernel/ledger/checkpoint'
import { type LedgerTrust, type LedgerVerdict, verifyLedger } from '@soma/kernel/ledger/verify-ledger'
import { answerOf } from '@soma/sdk/client'
import type { Command } from 'commander'
import { EXIT } from '../exit-codes.ts'
import { continueExport } from '../export-file.ts'
import { collect } from '../inputs.ts'
import { linesOf, openFile } from '../lines.ts'
import { download, openStream } from '../reports.ts'
import { type Configure, type Session, UsageError } from '../session.ts'
import { count, paragraph } from '../text.ts'

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
  $ soma --json audit head > known.json     what to hold later exports against
  $ soma audit verify ledger.jsonl --known known.json
  $ soma audit export --output ledger.jsonl
  $ soma audit export --output ledger.jsonl --continue
  $ soma audit prove run/prj-m3x1 4 --output proof.jsonl
  $ soma audit redact action/run/prj-m3x1#2 3 --reason "asked for by its owner"
  $ soma audit retention --set "action.*=90" --set "gate.decided=30"
  $ soma audit hold --stream run/prj-m3x1 --reason "case 7"
`,
  )
  command
    .command('verify [file]')
    .description('Verify an export or a proof: nothing changed, removed, inserted, reordered')
    .option('--key <file>', 'Public key (PEM) that must have signed it; else the keys in the export are taken', collect)
    .option('--known <file>', 'What "soma --json audit head" said once: its checkpoint must be in the export, and its keys have signed it')
    .action((file: string | undefined, options: { key?: string[]; known?: string }) => verify(session, file, options))
  command
    .command('export')
    .description('The ledger as JSON lines')
    .option('--output <file>', 'Where to (default: standard output)')
    .option('--continue', 'Go on with the export in that file: what was added since, or what an interruption left out')
    .option('--since <time>', 'Every entry from then on')
    .option('--until <time>', 'Every entry until then')
    .option('--kind <kind>', 'Content of this kind alone, as gate.decided or action.*; other entries come without theirs', collect)
    .action((options: ExportOptions) => exportLedger(session, options))
  command
    .command('prove <stream> <seq>')
    .description('One entry with the proof that it is in the ledger')
    .option('--output <file>', 'Where to (default: standard output)')
    .action((stream: string, seq: string, { output }: { output?: string }) =>
      save(session, `/v1/audit/proof?${new URLSearchParams({ stream, seq })}`, output),
    )
  command
    .command('head')
    .description('The last entry, the last signed checkpoint and the keys')
    .action(() => head(session))
  configureRemoval(command, session)
}
export default configure

interface ExportOptions {
  output?: string
  continue?: boolean
  since?: string
  until?: string
  kind?: string[]
}

/** What is taken out of the ledger, by hand and by rule. Most calls only read the ledger, so this is loaded when it is asked for. */
function configureRemoval(command: Command, session: Session): void {
  const removal = () => import('../audit-removal.ts')
  command
    .command('redact <stream> <seqs...>')
    .description('Take the content of entries away for good; that they were there stays provable')
    .option('--reason <text>', 'Why; it is kept in the ledger')
    .action(async (stream: string, seqs: string[], options: { reason?: string }) =>
      (await removal()).redact(session, stream, seqs, options),
    )
  command
    .command('retention')
    .description('How long content stays, by kind')
    .option('--set <kind=days>', 'Keep content of a kind so many days; replaces all rules; again for each', collect)
    .option('--clear', 'Keep everything')
    .option('--dry-run', 'Show what the rules would take away now')
    .option('--apply', 'Apply the rules now; else it happens every six hours')
    .action(async (options) => (await removal()).retention(session, options))
  command
    .command('hold')
    .description('Legal holds: keep content whatever the rules say')
    .option('--stream <prefix>', 'Only streams whose names begin so; again for each (default: everything)', collect)
    .option('--reason <text>', 'Why; without it, the holds are listed')
    .option('--lift <id>', 'Lift a hold; say why with --reason')
    .action(async (options) => (await removal()).hold(session, options))
}

async function verify(session: Session, file: string | undefined, options: { key?: string[]; known?: string }): Promise<void> {
  const trust = await readTrust(options)
  const source = file === undefined ? await openStream(await session.connect(), '/v1/audit/export') : await openFile(file)
  const verdict = await verifyLedger(linesOf(source), trust)
  session.exitCode = verdict.ok ? EXIT.done : EXIT.failed
  session.terminal.answer(verdict, describe(session, verdict, trust))
}

async function readTrust({ key, known }: { key?: string[]; known?: string }): Promise<LedgerTrust> {
  const keys = key && (await Promise.all(key.map(readText)))
  if (known === undefined) return { keys }
  const head = parseHead(await readText(known))
  if (!head?.checkpoint) throw new UsageError(`${known} names no checkpoint. Make it with: soma --json audit head`, { file: known })
  return { keys: keys ?? head.keys.map(({ publicKey }) => publicKey), known: head.checkpoint }
}

function parseHead(text: string): { checkpoint?: Checkpoint; keys: { publicKey: string }[] } | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function describe({ terminal: { paint, width } }: Session, verdict: LedgerVerdict, trust: LedgerTrust): string {
  const { entries, streams, checkpoints, redacted, withheld, problems } = verdict
  const facts = [
    count(entries, 'entry', 'entries'),
    count(streams, 'stream'),
    count(checkpoints, 'checkpoint'),
    ...(redacted > 0 ? [`${redacted.toLocaleString('en')} redacted`] : []),
    ...(withheld > 0 ? [`${withheld.toLocaleString('en')} left out by the filter`] : []),
  ].join(', ')
  if (!verdict.ok) {
    const shown = problems.slice(0, MOST_SHOWN).flatMap(({ message, line, fromLine }) => {
      const place = fromLine === undefined || fromLine === line ? `Line ${line}` : `Lines ${fromLine} to ${line}`
      return paragraph(`${place}: ${message}`, width, 2)
    })
    const more = problems.length - MOST_SHOWN
    return [`${paint.red('NOT VALID')}  ${facts}`, ...shown, ...(more > 0 ? [`  and ${more} more at least`] : [])].join('\n')
  }
  return [
    `${paint.green('valid')}  ${facts}`,
    ...place(verdict),
    ...limits(verdict, trust)
      .flatMap((text) => paragraph(text, width, 2))
      .map(paint.dim),
  ].join('\n')
}

function place({ through, after, head }: LedgerVerdict): string[] {
  return [
    ...(after ? [`  after position ${after.through}, signed ${after.at}`] : []),
    ...(through ? [`  through position ${through.through}, signed ${through.at} by ${through.keyId}`] : []),
    ...(head ? [`  head ${head}`] : []),
  ]
}

/** What a verification can not know, and what would let it. */
function limits({ scope }: LedgerVerdict, { keys, known }: LedgerTrust): string[] {
  return [
    ...(keys ? [] : ['Checked with the keys in the export itself; name the one you trust with --key or --known.']),
    ...(known || scope !== 'all'
      ? []
      : [
          'Nothing is missing up to there. Whether a later part was cut off, a file alone can not tell; a checkpoint you know can: --known.',
        ]),
  ]
}

function readText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${file} can not be read (${cause.code}).`, { file })
  })
}

async function exportLedger(session: Session, options: ExportOptions): Promise<void> {
  const { output } = options
  const pathAfter = (after?: string) => `/v1/audit/export?${queryOf(options, after)}`
  if (!options.continue) return save(session, pathAfter(), output)
  if (output === undefined) throw new UsageError('Name the file to go on with: --output.')
  await continueExport(await session.connect(), output, pathAfter)
  await tellSaved(session, output)
}

function queryOf({ since, until, kind }: ExportOptions, after: string | undefined): string {
  const query = { after, since: since && timeOf(since), until: until && timeOf(until), kind: kind?.join(',') }
  return new URLSearchParams(Object.entries(query).filter((each): each is [string, string] => each[1] !== undefined)).toString()
}

function timeOf(text: string): string {
  const time = new Date(text)
  if (Number.isNaN(time.getTime())) throw new UsageError(`"${text}" is no time. Write it as 2026-01-31 or 2026-01-31T12:00:00Z.`)
  return time.toISOString()
}

async function save(session: Session, path: string, output: string | undefined): Promise<void> {
  const connection = await session.connect()
  if (output === undefined) {
    if (session.terminal.isJson) throw new UsageError('An export is JSON lines, not one document; name a file with --output.')
    return pipeline(await openStream(connection, path), process.stdout, { end: false })
  }
  await download(connection, path, output)
  await tellSaved(session, output)
}

async function tellSaved(session: Session, file: string): Promise<void> {
  const { size } = await stat(file)
  session.terminal.answer(
    { file, bytes: size },
    `Wrote ${file} (${count(size, 'byte')}). Verify it: ${session.typed(`audit verify ${file}`)}`,
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
