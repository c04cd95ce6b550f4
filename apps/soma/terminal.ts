import { createPaint, type Paint } from './text.ts'

export interface Terminal {
  /** One JSON document on standard output and nothing else. */
  isJson: boolean
  /** Somebody sits there who can be asked and sees what moves. */
  isInteractive: boolean
  hasUnicode: boolean
  /** Columns, 80 at the most: longer lines are hard to read. */
  width: number
  paint: Paint
  /** A command's answer: the value as JSON, or the text for people. */
  answer(value: unknown, text: string): void
  /** A line that is no part of the answer. Not written when a program reads. */
  note(text: string): void
}

interface Streams {
  stdin: NodeJS.ReadStream
  stdout: NodeJS.WriteStream
}

export function openTerminal(isJson: boolean, env: NodeJS.ProcessEnv, { stdin, stdout }: Streams = process): Terminal {
  const hasColours = stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb' && !isJson
  return {
    isJson,
    isInteractive: !isJson && stdin.isTTY === true && stdout.isTTY === true && env.TERM !== 'dumb' && !env.CI,
    hasUnicode: speaksUnicode(env),
    width: Math.min(80, stdout.columns ?? 80),
    paint: createPaint(hasColours),
    answer: (value, text) => void stdout.write(isJson ? `${JSON.stringify(value, null, stdout.isTTY ? 2 : 0)}\n` : `${text}\n`),
    note: (text) => {
      if (!isJson) stdout.write(`${text}\n`)
    },
  }
}

/** Without a word about it a terminal of today is taken to speak UTF-8. */
function speaksUnicode({ LC_ALL, LC_CTYPE, LANG, TERM }: NodeJS.ProcessEnv): boolean {
  const locale = LC_ALL || LC_CTYPE || LANG || ''
  return TERM !== 'linux' && TERM !== 'dumb' && (locale === '' || /utf-?8/i.test(locale))
}
