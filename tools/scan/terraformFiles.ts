export interface HclBlock {
  type: string
  labels: string[]
  body: string
}

/**
 * The blocks at the top of an HCL text, with their bodies as text. Enough to count and to find what is required; nothing is
 * evaluated. Text that does not close is read as far as it goes.
 */
export function blocksOf(text: string): HclBlock[] {
  const source = withoutComments(text)
  const blocks: HclBlock[] = []
  const opening = /([A-Za-z_][\w-]*)((?:\s+(?:"[^"\n]*"|[A-Za-z_][\w-]*))*)\s*\{/y
  for (let at = 0; at < source.length; ) {
    opening.lastIndex = at
    const match = opening.exec(source)
    if (match) {
      const end = closingBrace(source, opening.lastIndex)
      const labels = [...(match[2] ?? '').matchAll(/"([^"\n]*)"|[A-Za-z_][\w-]*/g)].map(([whole, quoted]) => quoted ?? whole)
      blocks.push({ type: match[1] ?? '', labels, body: source.slice(opening.lastIndex, end) })
      at = end + 1
    } else at = skipOne(source, at)
  }
  return blocks
}

/** `name = "text"` and `name = { … }` of a body. */
export function attributesOf(body: string): Map<string, string> {
  const attributes = new Map<string, string>()
  const opening = /([A-Za-z_][\w-]*|"[^"\n]*")\s*[=:]\s*(?:"([^"\n]*)"|(\{))/y
  for (let at = 0; at < body.length; ) {
    opening.lastIndex = at
    const match = opening.exec(body)
    const name = match?.[1]?.replaceAll('"', '')
    if (!match || name === undefined) {
      at = body[at] === '{' ? closingBrace(body, at + 1) + 1 : skipOne(body, at)
    } else if (match[3]) {
      const end = closingBrace(body, opening.lastIndex)
      attributes.set(name, body.slice(opening.lastIndex, end))
      at = end + 1
    } else {
      attributes.set(name, match[2] ?? '')
      at = opening.lastIndex
    }
  }
  return attributes
}

/** The next place where a name can begin: past a string, a word or one character. */
function skipOne(text: string, at: number): number {
  if (text[at] === '"') return stringEnd(text, at)
  const word = /[\w-]+/y
  word.lastIndex = at
  return word.exec(text) ? word.lastIndex : at + 1
}

function stringEnd(text: string, at: number): number {
  for (let index = at + 1; index < text.length; index++) {
    if (text[index] === '\\') index++
    else if (text[index] === '"' || text[index] === '\n') return index + 1
  }
  return text.length
}

function closingBrace(text: string, from: number): number {
  let depth = 1
  for (let at = from; at < text.length; ) {
    if (text[at] === '"') {
      at = stringEnd(text, at)
      continue
    }
    if (text[at] === '{') depth++
    if (text[at] === '}' && --depth === 0) return at
    at++
  }
  return text.length
}

function withoutComments(text: string): string {
  return text
    .replace(/<<-?\s*([A-Za-z_]\w*)\r?\n[\s\S]*?\n\s*\1\b/g, '""')
    .replace(/"(?:\\.|[^"\\\n])*"|\/\*[\s\S]*?\*\/|(?:#|\/\/)[^\n]*/g, (match) => (match.startsWith('"') ? match : ' '))
}
