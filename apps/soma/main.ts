import { SomaError } from '@soma/contracts/errors'
import { type Command, CommanderError } from 'commander'
import { EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts'
import { COMMANDS, createProgram } from './program.mjs'
import { type Configure, type GlobalOptions, openSession, type Session, UsageError } from './session.ts'

const LOAD: Readonly<Record<string, () => Promise<{ default: Configure }>>> = {
  demo: () => import('./commands/demo.ts'),
  start: () => import('./commands/start.ts'),
  stop: () => import('./commands/stop.ts'),
  login: () => import('./commands/login.ts'),
  logout: () => import('./commands/logout.ts'),
  whoami: () => import('./commands/whoami.ts'),
  doctor: () => import('./commands/doctor.ts'),
  project: () => import('./commands/project.ts'),
  run: () => import('./commands/run.ts'),
  capsule: () => import('./commands/capsule.ts'),
  tool: () => import('./commands/tool.ts'),
  approvals: () => import('./commands/approvals.ts'),
  approve: () => import('./commands/approve.ts'),
  reject: () => import('./commands/reject.ts'),
  kill: () => import('./commands/kill.ts'),
  constitution: () => import('./commands/constitution.ts'),
  policy: () => import('./commands/policy.ts'),
  budgets: () => import('./commands/budgets.ts'),
  user: () => import('./commands/user.ts'),
  key: () => import('./commands/key.ts'),
  session: () => import('./commands/session.ts'),
  mfa: () => import('./commands/mfa.ts'),
  audit: () => import('./commands/audit.ts'),
  replay: () => import('./commands/replay.ts'),
}

/** Runs one command line. @returns the exit code */
export async function main(words: string[]): Promise<ExitCode> {
  // Whoever reads may have had enough (`| head`), which is no mistake of ours.
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? EXIT.done)
      throw error
    })
  const program = createProgram()
  const session = openSession(() => program.opts<GlobalOptions>())
  try {
    quietly(program)
    program.hook('preSubcommand', async (_program, command) => {
      ;(await LOAD[command.name()]?.())?.default(command, session)
      quietly(command)
    })
    await program.parseAsync(helpLast(words), { from: 'user' })
    return session.exitCode
  } catch (error) {
    return tell(error, session, words.includes('--json'))
  }
}

/** The program with every command in full, for the reference page. */
export async function wholeProgram(): Promise<Command> {
  const program = createProgram()
  const session = openSession(() => ({}))
  for (const { name } of COMMANDS) (await LOAD[name]?.())?.default(commandNamed(program, name), session)
  return program
}

function commandNamed(program: Command, name: string): Command {
  return program.commands.find((command) => command.name() === name) as Command
}

/** `soma help project create` is `soma project create --help`. */
function helpLast(words: string[]): string[] {
  return words[0] === 'help' ? [...words.slice(1), '--help'] : words
}

/** Errors are told by us, all in one way. */
function quietly(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => undefined })
  for (const each of command.commands) quietly(each)
}

function tell(error: unknown, session: Session, isJson: boolean): ExitCode {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done
  const { code, message, details } = explain(error)
  if (isJson) process.stdout.write(`${JSON.stringify({ error: { code, message, details } })}\n`)
  // Help was asked for by leaving out a command, and stands there already.
  else if (!(error instanceof CommanderError && error.code === 'commander.help'))
    process.stderr.write(`${session.terminal.paint.red(`error ${code}`)}: ${message}\n`)
  return error instanceof UsageError || error instanceof CommanderError ? EXIT.usage : exitCodeOf(code)
}

function explain(error: unknown): SomaError {
  if (error instanceof SomaError) return error
  if (error instanceof CommanderError) return usage(error)
  const cause = error as NodeJS.ErrnoException
  if (cause.code === 'ENOSPC') return new SomaError('disk_full', 'The disk is full. Free some space and try again.', {}, { cause })
  return new SomaError('internal', `The command line made a mistake: ${cause.message ?? String(cause)}`, {}, { cause })
}

function usage(error: CommanderError): SomaError {
  if (error.code === 'commander.help') return new SomaError('invalid_input', 'A command is missing. See: soma --help')
  const sentence = error.message.replace(/^error: /, '').replace(/\n/g, ' ')
  return new SomaError('invalid_input', `${sentence.charAt(0).toUpperCase()}${sentence.slice(1).replace(/\.?$/, '.')} See: soma --help`)
}
