import sloc from 'sloc'
import type { Language } from './linguist.ts'

export interface LineCount {
  lines: number
  code: number
  comment: number
  blank: number
}

const COUNTED: ReadonlySet<string> = new Set(sloc.extensions)

/** Languages that sloc does not know and whose only comments begin with `#`, as YAML's do. */
const HASH_COMMENTS = new Set([
  'Shell',
  'Dockerfile',
  'Makefile',
  'TOML',
  'HCL',
  'Elixir',
  'PowerShell',
  'CMake',
  'Starlark',
  'GraphQL',
  'INI',
])

/**
 * Lines of a text by what they hold, counted by sloc where it knows the language; elsewhere every line that is not blank is code.
 */
export function countLines(text: string, language: Language): LineCount {
  const body = text.endsWith('\n') ? text.slice(0, -1) : text
  if (text === '') return { lines: 0, code: 0, comment: 0, blank: 0 }
  const known = HASH_COMMENTS.has(language.name) ? 'yaml' : language.extensions?.map((dot) => dot.slice(1)).find((dot) => COUNTED.has(dot))
  if (known === undefined) return withoutComments(body)
  const counts = sloc(body, known)
  const comment = counts.comment - counts.mixed
  return { lines: counts.total, code: counts.source, comment, blank: Math.max(0, counts.total - counts.source - comment) }
}

function withoutComments(body: string): LineCount {
  const lines = body.split('\n')
  const blank = lines.filter((line) => line.trim() === '').length
  return { lines: lines.length, code: lines.length - blank, comment: 0, blank }
}
