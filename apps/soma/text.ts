import { stripVTControlCharacters } from 'node:util'
import sliceAnsi from 'slice-ansi'
import stringWidth from 'string-width'
import wrapAnsi from 'wrap-ansi'
import yoctocolors from 'yoctocolors'

const COLOURS = ['bold', 'dim', 'red', 'green', 'yellow', 'cyan'] as const
/** Colours text, or leaves it as it is. */
export type Paint = Record<(typeof COLOURS)[number], (text: string) => string>

export function createPaint(hasColours: boolean): Paint {
  return Object.fromEntries(COLOURS.map((name) => [name, hasColours ? yoctocolors[name] : (text: string) => text])) as Paint
}

/** Text from outside on one line, without anything that steers a terminal: a repository can hold a file whose name clears the screen. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return stripVTControlCharacters(text).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ')
}

export function truncate(text: string, width: number, ellipsis = '…'): string {
  if (stringWidth(text) <= width) return text
  const end = width > stringWidth(ellipsis) ? ellipsis : ''
  const room = Math.max(0, width - stringWidth(end))
  const cut = sliceAnsi(text, 0, room)
  // A wide character that begins in the last column would stand out.
  return (stringWidth(cut) <= room ? cut : sliceAnsi(text, 0, room - 1)) + end
}

export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - stringWidth(text)))
}

export function padLeft(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - stringWidth(text))) + text
}

export function widthOf(text: string): number {
  return stringWidth(text)
}

/** Wrapped and indented lines. */
export function paragraph(text: string, width: number, indent = 0): string[] {
  return wrapAnsi(oneLine(text), Math.max(20, width - indent), { hard: true })
    .split('\n')
    .map((line) => ' '.repeat(indent) + line)
}

/** Columns side by side; the last one is cut so that lines fit. */
export function table(rows: readonly (readonly string[])[], width: number): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => stringWidth(oneLine(row[column] ?? '')))))
  return rows
    .map((row) => {
      const line = row
        .map((cell, column) => (column === row.length - 1 ? oneLine(cell) : pad(oneLine(cell), widths[column] ?? 0)))
        .join('  ')
      return truncate(line, width).trimEnd()
    })
    .join('\n')
}

/** `0.4 s`, `12 s`, `3:05`, `1:02:03` */
export function duration(milliseconds: number): string {
  if (milliseconds < 9950) return `${(Math.max(0, milliseconds) / 1000).toFixed(1)} s`
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 60) return `${seconds} s`
  const two = (value: number) => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`
}

export function money(micros: number): string {
  return `$${(micros / 1_000_000).toFixed(micros > 0 && micros < 10_000 ? 4 : 2)}`
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString('en')} ${value === 1 ? one : many}`
}
