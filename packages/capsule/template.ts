/** Text with `${{ … }}` in it, taken apart. `at` is where the expression's text begins in the whole. */
export type TemplatePart = { text: string } | { expression: string; at: number }

export class UnclosedExpression extends Error {
  /** Where the `${{` stands. */
  readonly at: number
  constructor(at: number) {
    super('"${{" is never closed by "}}".')
    this.at = at
  }
}

/**
 * Takes text apart into what stands for itself and expressions. `$${{` stands for the characters `${{`.
 * @throws UnclosedExpression
 */
export function parseTemplate(text: string): TemplatePart[] {
  const parts: TemplatePart[] = []
  let literal = ''
  let position = 0
  while (position < text.length) {
    const opening = text.indexOf('${{', position)
    if (opening < 0) break
    if (opening > position && text[opening - 1] === '$') {
      literal += `${text.slice(position, opening - 1)}\${{`
      position = opening + 3
      continue
    }
    literal += text.slice(position, opening)
    if (literal) parts.push({ text: literal })
    literal = ''
    const closing = findClosing(text, opening)
    parts.push({ expression: text.slice(opening + 3, closing), at: opening + 3 })
    position = closing + 2
  }
  literal += text.slice(position)
  if (literal || parts.length === 0) parts.push({ text: literal })
  return parts
}

/** Makes text, at any depth, that evaluates to itself: what came from outside must never be read as an expression. */
export function escapeExpressions(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('${{', () => '$${{')
  if (Array.isArray(value)) return value.map(escapeExpressions)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, escapeExpressions(each)]))
}

/** The `}}` that ends the expression: not the ones of map literals, nor of text in quotes. */
function findClosing(text: string, opening: number): number {
  let depth = 0
  let position = opening + 3
  while (position < text.length) {
    const character = text[position] as string
    if (character === '"' || character === "'") {
      position = endOfString(text, position)
      continue
    }
    if (character === '{') depth++
    if (character === '}') {
      if (depth === 0 && text[position + 1] === '}') return position
      depth--
    }
    position++
  }
  throw new UnclosedExpression(opening)
}

/** CEL's strings: one or three quotes of either kind; a backslash keeps the next character, unless `r` stands before. */
function endOfString(text: string, start: number): number {
  const quote = text[start] as string
  const fence = text.startsWith(quote.repeat(3), start) ? quote.repeat(3) : quote
  const isRaw = /(^|[^A-Za-z0-9_])([bB]?[rR]|[rR][bB])$/.test(text.slice(Math.max(0, start - 3), start))
  for (let position = start + fence.length; position < text.length; position++) {
    if (text[position] === '\\' && !isRaw) position++
    else if (text.startsWith(fence, position)) return position + fence.length
  }
  return text.length
}
