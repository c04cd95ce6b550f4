import { parse as parseToml } from 'smol-toml'
import { groupOf, idsIn, normalisedExpression } from './licenceGroup.ts'
import type { LicencesReport } from './licencesReport.ts'
import { recogniseLicence } from './licenceText.ts'
import { fieldsOf, listOf, parseObject, textOf } from './lockfiles/untyped.ts'
import { baseName, contentsOf, type ScannedTree } from './tree.ts'

const MAX_BYTES = 512 * 1024
const TEXT = /^((un)?licen[cs]e|copying)([-._].*)?$|^LICENSES\/[^/]+$/i
const FIELDS: Record<string, (text: string) => string | undefined> = {
  'package.json': (text) => textOf(parseObject(text).license),
  'composer.json': (text) => {
    const { license } = parseObject(text)
    return textOf(license) ?? (listOf(license).map(String).join(' OR ') || undefined)
  },
  'Cargo.toml': (text) => {
    const file = fieldsOf(parseToml(text))
    return textOf(fieldsOf(file.package).license) ?? textOf(fieldsOf(fieldsOf(file.workspace).package).license)
  },
  'pyproject.toml': (text) => {
    const file = fieldsOf(parseToml(text))
    const { license } = fieldsOf(file.project)
    return textOf(license) ?? textOf(fieldsOf(license).text) ?? textOf(fieldsOf(fieldsOf(file.tool).poetry).license)
  },
}

type Stated = LicencesReport['repository']
type Source = Stated['sources'][number]

/** The licence that the top folder states: a manifest's field says it exactly, the text of a licence file by comparison. */
export async function repositoryLicence(tree: ScannedTree): Promise<Stated> {
  const fields: Source[] = []
  const texts: Source[] = []
  const files = tree.files.filter(({ path }) => TEXT.test(path) || Object.hasOwn(FIELDS, path))
  for await (const { file, blob } of contentsOf(tree, files, MAX_BYTES)) {
    if (blob.kind !== 'loaded') continue
    const text = blob.content.toString('utf8')
    const field = FIELDS[file.path]
    if (field) {
      const stated = statedIn(field, text)
      if (stated !== undefined) fields.push({ path: file.path, expression: normalisedExpression(stated), similarity: 1 })
    } else {
      const { id, similarity } = recogniseLicence(text)
      texts.push({ path: file.path, expression: id, similarity })
    }
  }
  const expression = fields.find((source) => source.expression !== null)?.expression ?? joined(texts)
  return { expression, group: groupOf(expression), sources: [...texts, ...fields], disagreement: disagree(fields, texts) }
}

function statedIn(field: (text: string) => string | undefined, text: string): string | undefined {
  try {
    return field(text)
  } catch {
    return undefined // scan.dependencies reports a manifest that does not parse
  }
}

/** Files named after their licence, as `LICENSE-MIT`, are alternatives; others hold together. */
function joined(texts: Source[]): string | null {
  const known = [...new Set(texts.flatMap(({ expression }) => expression ?? []))]
  const areAlternatives = texts.every(({ path }) => /^licen[cs]e-/i.test(baseName(path)))
  return known.length === 0 ? null : known.join(areAlternatives ? ' OR ' : ' AND ')
}

/** A text can't tell `-only` from `-or-later`, so both count as the same licence. */
function disagree(fields: Source[], texts: Source[]): boolean {
  const base = (id: string) => id.replace(/-(only|or-later)$|\+$/, '')
  const stated = new Set(fields.flatMap(({ expression }) => (expression === null ? [] : idsIn(expression).map(base))))
  const read = texts.flatMap(({ expression }) => (expression === null ? [] : base(expression)))
  return stated.size > 0 && read.some((id) => !stated.has(id))
}
