import type { OperationContext } from '@soma/contracts/operation'
import type { Blob, TreeEntry } from '../frame/git.ts'
import { type LinguistAttributes, linguistAttributes } from './attributes.ts'
import { countLines, type LineCount } from './countLines.ts'
import { compareText } from './finding.ts'
import { isTestPath } from './isTestPath.ts'
import type { LanguageShare, LanguagesInput, LanguagesReport } from './languagesReport.ts'
import { type Language, linguist } from './linguist.ts'
import { baseName, contentsOf, isBinary, openTree, type ScannedTree } from './tree.ts'

const MAX_BYTES = 2 * 1024 * 1024
const HEAD_CHARACTERS = 50_000

/** Counts the files of one commit by language. @throws what `openTree` does */
export async function countLanguages(input: LanguagesInput, { signal, progress }: OperationContext<unknown>): Promise<LanguagesReport> {
  const tree = await openTree(input, signal)
  const attributes = await linguistAttributes(tree)
  const counted: CountedFile[] = []
  for await (const { file, blob } of contentsOf(tree, tree.files, MAX_BYTES)) {
    counted.push(countFile(file, blob, attributes.get(file.path) ?? {}))
    if (counted.length % 2_000 === 0) progress(`${counted.length} of ${tree.files.length} files`, counted.length / tree.files.length)
  }
  return report(tree, counted, input.largest)
}

type Kind = 'binary' | 'unread' | 'generated' | 'vendored' | 'documentation' | 'unrecognised' | 'language'

interface CountedFile {
  path: string
  bytes: number
  kind: Kind
  language?: Language
  lines?: LineCount
}

function countFile(file: TreeEntry, blob: Blob, attributes: LinguistAttributes): CountedFile {
  const { path } = file
  const bytes = file.size ?? 0
  const rules = linguist()
  const forced = attributes['linguist-language']
  const named = forced === undefined ? undefined : rules.named(forced)
  if (blob.kind !== 'loaded') {
    const language = named ?? rules.recognise(baseName(path), '')
    return { path, bytes, kind: kindByPath(path, attributes) ?? 'unread', language }
  }
  if (isBinary(blob.content)) return { path, bytes, kind: 'binary' }

  const text = blob.content.toString('utf8')
  const language = named ?? rules.recognise(baseName(path), text.slice(0, HEAD_CHARACTERS))
  const kind = kindByPath(path, attributes)
  if (kind) return { path, bytes, kind, language }
  const mayBeGenerated = attributes['linguist-generated'] === undefined
  if (mayBeGenerated && rules.isGenerated(path, text)) return { path, bytes, kind: 'generated', language }
  if (!language) return { path, bytes, kind: 'unrecognised' }
  return { path, bytes, kind: 'language', language, lines: countLines(text, language) }
}

/** What attributes say goes before what the path says. */
function kindByPath(path: string, attributes: LinguistAttributes): Kind | undefined {
  const said = (name: 'generated' | 'vendored' | 'documentation', byPath: () => boolean) => {
    const value = attributes[`linguist-${name}`]
    return value === undefined ? byPath() : value !== 'unset' && value !== 'false'
  }
  if (said('vendored', () => linguist().isVendored(path))) return 'vendored'
  if (said('generated', () => linguist().isGenerated(path, ''))) return 'generated'
  if (said('documentation', () => linguist().isDocumentation(path))) return 'documentation'
  return undefined
}

function report(tree: ScannedTree, counted: CountedFile[], largest: number): LanguagesReport {
  const all = amountOf(counted)
  const binary = amountOf(counted.filter(({ kind }) => kind === 'binary'))
  const languages = shares(counted)
  const of = (kind: Kind) => amountOf(counted.filter((file) => file.kind === kind))
  return {
    commit: tree.commit,
    totals: { ...sumLines(languages), ...all, symlinks: tree.symlinks.length, submodules: tree.submodules.length },
    languages,
    excluded: { generated: of('generated'), vendored: of('vendored'), documentation: of('documentation') },
    unrecognised: of('unrecognised'),
    binary: { ...binary, share: ratio(binary.bytes, all.bytes) },
    tests: testsOf(counted),
    largest: [...counted]
      .sort((a, b) => b.bytes - a.bytes || compareText(a.path, b.path))
      .slice(0, largest)
      .map(({ path, bytes, kind, language }) => ({ path, bytes, binary: kind === 'binary', language: language?.name ?? null })),
    unread: of('unread'),
  }
}

function shares(counted: CountedFile[]): LanguageShare[] {
  const byName = new Map<string, LanguageShare>()
  for (const { bytes, language, lines } of counted) {
    if (!language || !lines) continue
    const grouped = linguist().named(language.group ?? language.name) ?? language
    const sum = byName.get(grouped.name) ?? emptyShare(grouped)
    byName.set(grouped.name, sum)
    sum.files++
    sum.bytes += bytes
    sum.lines += lines.lines
    sum.code += lines.code
    sum.comment += lines.comment
    sum.blank += lines.blank
  }
  const isCode = ({ type }: LanguageShare) => type === 'programming' || type === 'markup'
  const list = [...byName.values()].sort((a, b) => b.bytes - a.bytes || compareText(a.name, b.name))
  const bytes = amountOf(list.filter(isCode)).bytes
  return list.map((language) => ({ ...language, share: isCode(language) ? ratio(language.bytes, bytes) : 0 }))
}

function emptyShare({ name, type, color }: Language): LanguageShare {
  return { name, type, color: color ?? null, files: 0, bytes: 0, lines: 0, code: 0, comment: 0, blank: 0, share: 0 }
}

function testsOf(counted: CountedFile[]): LanguagesReport['tests'] {
  const programming = counted.filter(({ kind, language }) => kind === 'language' && language?.type === 'programming')
  const tests = programming.filter(({ path }) => isTestPath(path))
  const linesOf = (files: CountedFile[]) => files.reduce((sum, { lines }) => sum + (lines?.lines ?? 0), 0)
  return { ...amountOf(tests), lines: linesOf(tests), share: ratio(linesOf(tests), linesOf(programming)) }
}

function amountOf(list: { bytes: number }[]): { files: number; bytes: number } {
  return { files: list.length, bytes: list.reduce((sum, { bytes }) => sum + bytes, 0) }
}

function sumLines(list: LineCount[]): LineCount {
  const sum = { lines: 0, code: 0, comment: 0, blank: 0 }
  for (const { lines, code, comment, blank } of list) {
    sum.lines += lines
    sum.code += code
    sum.comment += comment
    sum.blank += blank
  }
  return sum
}

/** Four digits: enough to show, and the same on every machine. */
function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.round((part / whole) * 10_000) / 10_000
}
