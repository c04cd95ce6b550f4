import { stat } from 'node:fs/promises'
import type { CapsuleRunState } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import { answerOf, type Client } from '@soma/sdk/client'
import type { Command } from 'commander'
import { rsort } from 'semver'
import { answerApproval } from './answer-approval.ts'
import { readCapsuleFile, readSignatures } from './capsule-file.ts'
import type { Connection } from './connection.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { pause, pendingApprovals } from './follow-project.ts'
import { collect, INPUT_HELP, parseInputs, parseJsonInput } from './inputs.ts'
import type { Session } from './session.ts'
import { oneLine } from './text.ts'

export interface RunOptions {
  input?: string[]
  jsonInput?: string
  sign?: boolean
  approve?: boolean
  detach?: boolean
}

/** Milliseconds between looks at a run. */
const LOOK_EVERY = 250

export function addRunOptions(command: Command): Command {
  return command
    .option('--input <name=value>', INPUT_HELP, collect)
    .option('--json-input <json>', 'All inputs as one JSON object; @file reads one')
    .option('--sign', 'Of a file: have the server sign it first')
    .option('--approve', 'Approve what it asks for')
    .option('--detach', 'Do not wait for the end')
}

/** Runs a capsule by name or from a file, and shows what comes out. */
export async function runCapsule(session: Session, which: string, options: RunOptions): Promise<void> {
  const connection = await session.connect()
  const { client } = connection
  const { name, version } = (await isFile(which))
    ? await uploadFile(client, which, options.sign === true)
    : await findVersion(client, which)
  const { capsule } = await answerOf(client.GET('/v1/capsules/{name}/{version}', { params: { path: { name, version } } }))
  const inputs = {
    ...(options.jsonInput ? await parseJsonInput(options.jsonInput) : {}),
    ...parseInputs(options.input ?? [], capsule.inputs),
  }
  const { runId } = await answerOf(client.POST('/v1/runs', { body: { capsule: name, version, inputs } }))
  if (options.detach) return session.terminal.answer({ runId }, `${runId}  ${name}@${version}`)
  await followRun(session, connection, runId, options.approve === true)
}

async function uploadFile(client: Client, file: string, isSigned: boolean): Promise<{ name: string; version: string }> {
  const read = await readCapsuleFile(file)
  const signatures = isSigned ? [] : await readSignatures(read)
  const { name, version } = await answerOf(client.POST('/v1/capsules', { body: { yaml: read.yaml, signatures } }))
  if (isSigned) await answerOf(client.POST('/v1/capsules/{name}/{version}/sign', { params: { path: { name, version } } }))
  return { name, version }
}

export async function isFile(which: string): Promise<boolean> {
  if (/\.ya?ml$/.test(which) || which.includes('/')) return true
  return stat(which).then(
    (found) => found.isFile(),
    () => false,
  )
}

/** `name@1.0.0`, or `name` for its newest version. @throws `not_found` */
export async function findVersion(client: Client, which: string): Promise<{ name: string; version: string }> {
  const [name, version] = which.split('@') as [string, string | undefined]
  if (version) return { name, version }
  const versions: string[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await answerOf(client.GET('/v1/capsules', { params: { query: { limit: 100, ...(cursor ? { cursor } : {}) } } }))
    versions.push(...page.items.filter((each) => each.name === name).map((each) => each.version))
    if (!page.nextCursor) break
    cursor = page.nextCursor
  }
  const [newest] = rsort(versions)
  if (newest) return { name, version: newest }
  throw new SomaError('not_found', `There is no capsule ${name}. "soma capsule list" names them all.`, { name })
}

async function followRun(session: Session, connection: Connection, runId: string, isApproving: boolean): Promise<void> {
  const { terminal } = session
  const told = new Set<string>()
  const never = new AbortController().signal
  for (;;) {
    const run = await answerOf(connection.client.GET('/v1/runs/{id}', { params: { path: { id: runId } } }))
    const { steps = [] } = (run.state ?? {}) as Partial<CapsuleRunState>
    for (const { id, title, status, message } of steps) {
      const line = `${status.padEnd(8)}  ${oneLine(title || id)}${message ? `: ${oneLine(message)}` : ''}`
      if (status === 'pending' || told.has(line)) continue
      told.add(line)
      terminal.note(terminal.paint.dim(line))
    }
    if (run.status !== 'running') return endRun(session, run)
    if (steps.some(({ status }) => status === 'waiting') && !steps.some(({ status }) => status === 'running')) {
      const asked = (await pendingApprovals(connection)).filter((each) => each.run === runId || each.run?.startsWith(`${runId}.`))
      if (asked.length > 0 && !isApproving) return leaveWaiting(session, runId, asked)
      for (const { id } of asked) await answerApproval(connection, id, { approve: true })
    }
    await pause(LOOK_EVERY, never)
  }
}

function endRun(
  session: Session,
  run: { runId: string; status: string; output?: unknown; error?: { code: string; message: string } },
): void {
  if (run.error) throw new SomaError(run.error.code as SomaError['code'], run.error.message, { runId: run.runId, status: run.status })
  session.exitCode = run.status === 'completed' ? EXIT.done : exitCodeOf('cancelled')
  // A capsule's run gives its output with the labels of what it was made from; the labels are for policy.
  const { output } = (run.output ?? {}) as { output?: unknown }
  session.terminal.answer({ runId: run.runId, status: run.status, output }, JSON.stringify(output ?? null, null, 2))
}

function leaveWaiting(session: Session, runId: string, asked: readonly { id: string; summary: string }[]): void {
  session.exitCode = EXIT.denied
  session.terminal.answer(
    { runId, status: 'waiting', approvals: asked },
    [`${runId} waits for your word:`, ...asked.map(({ id, summary }) => `  ${oneLine(summary)}\n  ${session.typed(`approve ${id}`)}`)].join(
      '\n',
    ),
  )
}
