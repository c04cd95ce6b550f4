import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml'

type Fields = Record<string, unknown>

export interface YamlDocument {
  /** The content as plain values; empty for what is no mapping. */
  fields: Fields
  /** Line of the value that a path leads to, or of the nearest above it that is there; from 1. */
  lineOf(path: (string | number)[]): number
}

/**
 * The documents of a YAML text. Aliases may not multiply the content without bound.
 * @throws Error with the place when it does not parse
 */
export function readYaml(text: string): YamlDocument[] {
  const counter = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: counter, logLevel: 'silent', uniqueKeys: false })
  return (Array.isArray(documents) ? documents : []).map((document) => {
    const [error] = document.errors
    if (error) throw new Error(error.message.split('\n', 1)[0])
    const value: unknown = document.toJS({ maxAliasCount: 1_000 })
    const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value)
    return { fields: isMapping ? (value as Fields) : {}, lineOf: (path) => lineOf(document, path, counter) }
  })
}

function lineOf(document: Document, path: (string | number)[], counter: LineCounter): number {
  let node: Node | null = document.contents
  let offset = node?.range?.[0] ?? 0
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
      if (!pair) break
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset
      node = pair.value as Node | null
    } else if (isSeq(node)) {
      node = (node.items[Number(key)] as Node | undefined) ?? null
      offset = node?.range?.[0] ?? offset
    } else break
  }
  return counter.linePos(offset).line
}
