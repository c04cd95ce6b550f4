import type { ConstitutionVersion } from '@soma/contracts/constitution-version'
import { parseConstitution } from '@soma/ports/policy/check'
import type { ConstitutionDiff } from '@soma/ports/policy/diff'
import { answerOf } from '@soma/sdk/client'
import { Option } from 'commander'
import {
  describeDiff,
  describeImpact,
  describeProposals,
  describeRules,
  describeVersion,
  describeVersions,
} from '../constitution/describe.ts'
import { type BaseOption, readRules, test, validate } from '../constitution/local-rules.ts'
import { type Configure, type Session, UsageError } from '../session.ts'

const SOURCE = 'A file, a version number, or the id of a proposal'
const standsAlone = () => new Option('--no-base', 'The file stands on no other rules, as the platform’s own does')

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
Your tenant's rules stand beside the platform's: they forbid more, or allow
what nothing else speaks about. One person proposes, another publishes.

Examples, in the order of a change:
  $ soma constitution show                   what is in force
  $ soma constitution validate rules.yaml    find what is wrong, no server
  $ soma constitution test rules.yaml        run its tests, no server
  $ soma constitution diff rules.yaml        what would change
  $ soma constitution preview rules.yaml     what it would have decided
  $ soma constitution propose rules.yaml --note "No web, see #12"
  $ soma constitution publish p-3f9a1c…      as somebody else
  $ soma constitution rollback 3 --note "Too strict"
`,
  )
  command
    .command('show [version]')
    .description('The rules in force, or those of a version')
    .option('--base', 'The platform’s rules instead of your own')
    .option('--yaml', 'The text as it was published')
    .action((version: string | undefined, options: ShowOptions) => show(session, version, options))
  command
    .command('validate <files...>')
    .description('Find everything that is wrong with rules, their tests included')
    .addOption(standsAlone())
    .action((files: string[], option: BaseOption) => validate(session, files, option))
  command
    .command('test <files...>')
    .description('Run the tests in the files')
    .addOption(standsAlone())
    .action((files: string[], option: BaseOption) => test(session, files, option))
  command
    .command('diff <to>')
    .description('Which rules are added (+), removed (-) or changed (~)')
    .argument('[from]', `${SOURCE}; without it, what is in force`)
    .action((to: string, from: string | undefined) => diff(session, to, from))
  command
    .command('preview <rules>')
    .description('What these rules would have decided on the last real actions')
    .option('--last <n>', 'How many of them, 10000 at the most', '1000')
    .action((rules: string, { last }: { last: string }) => preview(session, rules, last))
  command
    .command('propose <file>')
    .description('Propose rules; another person publishes them')
    .option('--note <text>', 'Why; whoever publishes and the ledger are told')
    .action((file: string, { note }: { note?: string }) => propose(session, file, note))
  command
    .command('publish <proposal>')
    .description('Sign a proposal and put it in force, as another person')
    .option('--emergency <reason>', 'Rollbacks only: why you must do it alone')
    .action((proposal: string, { emergency }: { emergency?: string }) => publish(session, proposal, emergency))
  command
    .command('withdraw <proposal>')
    .description('Take a proposal back, or turn it down')
    .option('--reason <text>', 'Why')
    .action((proposal: string, { reason }: { reason?: string }) => withdraw(session, proposal, reason))
  command
    .command('rollback <version>')
    .description('Propose that an earlier version is in force again')
    .option('--note <text>', 'Why')
    .option('--emergency <reason>', 'Do it at once and alone; the reason is kept')
    .action((version: string, options: RollbackOptions) => rollback(session, version, options))
  command
    .command('versions')
    .description('Versions there were, newest first')
    .action(() => versions(session))
  command
    .command('proposals')
    .description('Proposals, newest first')
    .option('--all', 'Also those that were published or withdrawn')
    .action(({ all }: { all?: boolean }) => proposals(session, all === true))
}
export default configure

interface ShowOptions {
  base?: boolean
  yaml?: boolean
}

async function show(session: Session, version: string | undefined, { base, yaml }: ShowOptions): Promise<void> {
  const { client } = await session.connect()
  const inForce = await answerOf(client.GET('/v1/constitution'))
  const own = version === undefined ? inForce.overlay : await readVersion(session, wholeNumber(version, 'version'))
  const shown = base ? inForce.base : own
  if (yaml) return session.terminal.answer(shown ?? {}, shown?.yaml.trimEnd() ?? '')
  const lines = shown
    ? [...describeVersion(base ? 'base' : 'own', shown), '', describeRules(parseConstitution(shown.yaml), session.terminal)]
    : ['Your tenant has no rules of its own.']
  const more = `The platform’s rules: ${session.typed('constitution show --base')}`
  session.terminal.answer(
    version === undefined && !base ? inForce : (shown ?? {}),
    [...lines, ...(base ? [] : ['', session.terminal.paint.dim(more)])].join('\n'),
  )
}

async function readVersion(session: Session, version: number): Promise<ConstitutionVersion> {
  const { client } = await session.connect()
  return answerOf(client.GET('/v1/constitution/versions/{version}', { params: { path: { version } } }))
}

async function diff(session: Session, to: string, from: string | undefined): Promise<void> {
  const { client } = await session.connect()
  const body = { to: await sourceOf(to), ...(from === undefined ? {} : { from: await sourceOf(from) }) }
  const answer = await answerOf(client.POST('/v1/constitution/diff', { body }))
  session.terminal.answer(answer, describeDiff(answer as unknown as ConstitutionDiff, session.terminal))
}

async function preview(session: Session, rules: string, last: string): Promise<void> {
  const { client } = await session.connect()
  const body = { rules: await sourceOf(rules), last: wholeNumber(last, '--last') }
  const impact = await answerOf(client.POST('/v1/constitution/preview', { body }))
  session.terminal.answer(impact, describeImpact(impact, session.terminal))
}

async function propose(session: Session, file: string, note: string | undefined): Promise<void> {
  if (!note) throw new UsageError('Say why with --note; whoever publishes it wants to know.')
  const { client } = await session.connect()
  const made = await answerOf(client.POST('/v1/constitution/proposals', { body: { yaml: await readRules(file), note } }))
  session.terminal.answer(made, proposedText(session, made.id))
}

function proposedText(session: Session, id: string): string {
  return [
    `Proposed as ${id}. Another person puts it in force, unless there is nobody else:`,
    `  ${session.typed(`constitution publish ${id}`)}`,
  ].join('\n')
}

async function publish(session: Session, id: string, emergency: string | undefined): Promise<void> {
  const { client } = await session.connect()
  const body = emergency === undefined ? {} : { emergency }
  const version = await answerOf(client.POST('/v1/constitution/proposals/{id}/publish', { params: { path: { id } }, body }))
  session.terminal.answer(version, describeVersion('own', version).join('\n'))
}

async function withdraw(session: Session, id: string, reason: string | undefined): Promise<void> {
  if (!reason) throw new UsageError('Say why with --reason.')
  const { client } = await session.connect()
  const answer = await answerOf(client.POST('/v1/constitution/proposals/{id}/withdraw', { params: { path: { id } }, body: { reason } }))
  session.terminal.answer(answer, `Withdrawn: ${id}`)
}

interface RollbackOptions {
  note?: string
  emergency?: string
}

async function rollback(session: Session, version: string, { note, emergency }: RollbackOptions): Promise<void> {
  const why = note ?? emergency
  if (!why) throw new UsageError('Say why with --note, or with --emergency to do it at once and alone.')
  const { client } = await session.connect()
  const body = { rollbackTo: wholeNumber(version, 'version'), note: why }
  const made = await answerOf(client.POST('/v1/constitution/proposals', { body }))
  if (emergency !== undefined) return publish(session, made.id, emergency)
  session.terminal.answer(made, proposedText(session, made.id))
}

async function versions(session: Session): Promise<void> {
  const { client } = await session.connect()
  const { items } = await answerOf(client.GET('/v1/constitution/versions', { params: { query: { limit: 50 } } }))
  session.terminal.answer(items, items.length > 0 ? describeVersions(items, session.terminal) : 'Your tenant has no rules of its own.')
}

async function proposals(session: Session, isAll: boolean): Promise<void> {
  const { client } = await session.connect()
  const query = isAll ? { limit: 50 } : { limit: 50, status: 'open' as const }
  const { items } = await answerOf(client.GET('/v1/constitution/proposals', { params: { query } }))
  session.terminal.answer(items, items.length > 0 ? describeProposals(items, session.terminal) : 'Nothing is proposed.')
}

/** What a word means: `3` a version, `p-3f9a1c…` a proposal, anything else a file. */
async function sourceOf(word: string): Promise<{ yaml: string } | { proposal: string } | { version: number }> {
  if (/^\d+$/.test(word)) return { version: Number(word) }
  return /^p-[0-9a-f]+$/.test(word) ? { proposal: word } : { yaml: await readRules(word) }
}

function wholeNumber(word: string, what: string): number {
  if (/^[1-9]\d*$/.test(word)) return Number(word)
  throw new UsageError(`${what} must be a whole number, not "${word}".`)
}
