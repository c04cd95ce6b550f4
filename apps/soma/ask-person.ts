import { text } from 'node:stream/consumers'
import { type Session, UsageError } from './session.ts'

/** Asks for what may be seen. @throws UsageError when nobody sits there, with the option that says it */
export async function askFor(session: Session, message: string, option: string): Promise<string> {
  assertSomebodyThere(session, message, option)
  const { default: input } = await import('@inquirer/input')
  return input({ message, validate: (typed) => typed.trim() !== '' })
}

/** Asks for what must not be seen, now or later in a shell's history. @throws UsageError when nobody sits there */
export async function askForSecret(session: Session, message: string, option: string): Promise<string> {
  assertSomebodyThere(session, message, option)
  const { default: password } = await import('@inquirer/password')
  return password({ message, mask: true })
}

/** A password that a program hands over: the first line of standard input. */
export async function readSecret(): Promise<string> {
  const [line = ''] = (await text(process.stdin)).split('\n')
  if (line === '') throw new UsageError('Nothing came on standard input.')
  return line
}

function assertSomebodyThere({ terminal }: Session, message: string, option: string): void {
  if (!terminal.isInteractive) throw new UsageError(`Nobody is there to be asked for: ${message}. Use ${option}.`)
}
