import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
  type Range,
  visit,
} from 'yaml'
import type { Finding, Problem } from './problem.ts'

/** More is not written by hand, and not worth the memory. */
const MAX_CHARACTERS = 1_048_576
/** Counted with aliases expanded: ten lines of YAML can stand for billions of values. */
const MAX_VALUES = 50_000
const MAX_DEPTH = 64

type Path = (string | number)[]

/** YAML read as JSON, with the way back from a path in the value to its place in the text. */
export interface YamlSource {
  /** Undefined when the text could not be read. */
  value?: unknown
  problems: Problem[]
  locate(finding: Finding): Problem
}

/** Reads YAML 1.2 as JSON. Never throws. */
export function readYaml(text: string, file?: string): YamlSource {
  const lines = new LineCounter()
  const problemAt = (finding: Finding, offset: number): Problem => {
    const { line, col } = lines.linePos(offset)
    const { isKey: _, at: __, ...rest } = finding
    return { ...rest, line: Math.max(1, line), column: Math.max(1, col), ...(file ? { file } : {}) }
  }
  const unread = (problems: Problem[]): YamlSource => ({ problems, locate: (finding) => problemAt(finding, 0) })

  if (text.length > MAX_CHARACTERS) {
    const message = `The file has ${text.length} characters; at the most ${MAX_CHARACTERS} are read.`
    return unread([problemAt({ code: 'too_large', message, path: [] }, 0)])
  }
  if (text.trim() === '') return unread([problemAt({ code: 'yaml_syntax', message: 'The file is empty.', path: [] }, 0)])

  const document = parseDocument(text, { prettyErrors: false, lineCounter: lines, version: '1.2', logLevel: 'error' })
  const complaints = [...document.errors, ...document.warnings]
  if (complaints.length > 0) {
    const first = complaints.slice(0, 20)
    return unread(
      first.map((error) =>
        problemAt({ code: 'yaml_syntax', message: syntaxSentence(error.code, error.message, text, error.pos[0]), path: [] }, error.pos[0]),
      ),
    )
  }

  const targets = aliasTargets(document)
  const places = new Map<string, { key?: Range; value: Range; source: string }>()
  const findings: { finding: Finding; offset: number }[] = []
  let values = 0

  const complain = (code: Finding['code'], message: string, path: Path, node: Node) => {
    findings.push({ finding: { code, message, path }, offset: node.range?.[0] ?? 0 })
    return null
  }

  const read = (node: Node | null, path: Path, around: readonly Node[], key?: Node): unknown => {
    if (node === null) return null
    if (values++ === MAX_VALUES)
      complain('too_large', `The file stands for more than ${MAX_VALUES} values, aliases counted each time.`, path, node)
    if (values > MAX_VALUES) return null
    const range = node.range ?? [0, 0, 0]
    places.set(JSON.stringify(path), { key: key?.range ?? undefined, value: range, source: text.slice(range[0], range[1]) })
    if (isAlias(node)) {
      const target = targets.get(node)
      if (!target)
        return complain('yaml_syntax', `The alias *${node.source} stands for nothing: no &${node.source} comes before it.`, path, node)
      if (around.includes(target)) return complain('yaml_syntax', `The alias *${node.source} stands within what it stands for.`, path, node)
      return read(target, path, around, key)
    }
    if (around.length === MAX_DEPTH) return complain('too_large', `Values are nested more than ${MAX_DEPTH} deep.`, path, node)
    if (isSeq(node)) return node.items.map((item, index) => read(isNode(item) ? item : null, [...path, index], [...around, node]))
    if (isMap(node)) return readMap(node.items as { key: Node; value: Node | null }[], path, [...around, node])
    if (isScalar(node)) return readScalar(node.value, path, node)
    return complain('yaml_syntax', 'This kind of YAML value is not read.', path, node)
  }

  const readMap = (pairs: { key: Node; value: Node | null }[], path: Path, around: readonly Node[]): unknown =>
    Object.fromEntries(
      pairs.flatMap(({ key, value }) => {
        if (!isScalar(key) || key.value === null || typeof key.value === 'object') {
          complain('yaml_syntax', 'A key must be text.', path, key)
          return []
        }
        const name = String(key.value)
        if (value === null)
          places.set(JSON.stringify([...path, name]), { key: key.range ?? undefined, value: key.range ?? [0, 0, 0], source: '' })
        return [[name, read(value, [...path, name], around, key)]]
      }),
    )

  const readScalar = (value: unknown, path: Path, node: Node): unknown => {
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) return complain('invalid_value', `${value} is not a number that JSON can hold.`, path, node)
      if (Number.isInteger(value) && !Number.isSafeInteger(value))
        return complain('invalid_value', `${value} is beyond the whole numbers that are kept exactly; put it in quotes.`, path, node)
    } else if (value !== null && typeof value !== 'string' && typeof value !== 'boolean') {
      return complain('invalid_value', 'Only text, numbers, true, false, null, lists and mappings are read.', path, node)
    }
    return value
  }

  const value = read(document.contents as ParsedNode | null, [], [])

  const locate = (finding: Finding): Problem => {
    for (let depth = finding.path.length; depth >= 0; depth--) {
      const place = places.get(JSON.stringify(finding.path.slice(0, depth)))
      if (!place) continue
      const isWhole = depth === finding.path.length
      if (finding.isKey && isWhole && place.key) return problemAt(finding, place.key[0])
      return problemAt(finding, place.value[0] + (isWhole && finding.at !== undefined ? offsetInSource(place.source, finding.at) : 0))
    }
    return problemAt(finding, 0)
  }
  return { value, problems: findings.map(({ finding, offset }) => problemAt(finding, offset)), locate }
}

/** What each alias stands for, in one pass: the library's own `resolve` searches the document each time. */
function aliasTargets(document: Document): Map<Node, Node | undefined> {
  const anchors = new Map<string, Node>()
  const targets = new Map<Node, Node | undefined>()
  visit(document, {
    Node(_, node) {
      if (isAlias(node)) targets.set(node, anchors.get(node.source))
      else if (node.anchor) anchors.set(node.anchor, node)
    },
  })
  return targets
}

/** Exact for text on one line without escapes; otherwise the beginning of the text is the honest answer. */
function offsetInSource(source: string, at: number): number {
  if (source.startsWith('"') || source.startsWith("'")) return /[\\\n]|''/.test(source) ? 0 : at + 1
  return /\n/.test(source) ? 0 : at
}

function syntaxSentence(code: string, message: string, text: string, at: number): string {
  if (code === 'DUPLICATE_KEY') return `The key "${/^[^\s:]*/.exec(text.slice(at, at + 100))?.[0]}" is written twice in one mapping.`
  if (code === 'TAB_AS_INDENT') return 'Tabs are not allowed as indentation; use spaces.'
  if (code === 'MULTIPLE_DOCS') return 'The file holds several documents; write one per file, without "---".'
  if (code === 'RESOURCE_EXHAUSTION') return 'Values are nested too deep.'
  return `The YAML does not parse: ${message}${message.endsWith('.') ? '' : '.'}`
}
