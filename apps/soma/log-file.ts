import { createWriteStream, type WriteStream } from 'node:fs'

export interface LogFile {
  write(line: string): void
  /** Where lines go from now on, with those that came before. */
  keepIn(file: string): void
}

/** A log that is kept in memory until it is known where it may be written: a start that fails makes no file. */
export function openLogFile(): LogFile {
  const waiting: string[] = []
  let stream: WriteStream | undefined
  return {
    write: (line) => void (stream ? stream.write(line) : waiting.push(line)),
    keepIn: (file) => {
      stream = createWriteStream(file, { flags: 'a', mode: 0o600 })
      for (const line of waiting.splice(0)) stream.write(line)
    },
  }
}
