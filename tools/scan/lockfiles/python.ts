import { parse as parseToml } from 'smol-toml'
import { type Declared, type Locked, type LockFile, type Manifest, reachable, sourceOf } from './locked.ts'
import { entriesOf, type Fields, fieldsOf, listOf, parseObject, textOf } from './untyped.ts'

/** PEP 503: names that differ only in case and in `-`, `_`, `.` are one. */
export function normalisedPythonName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-')
}

interface Requirement extends Declared {
  version: string | null
  hashed: boolean
  address?: string
}

/** The requirements of a requirements.txt. Options (`-r`, `--index-url`) name no package. */
export function readRequirements(text: string, dev: boolean): Requirement[] {
  return text
    .replace(/\\\r?\n/g, ' ')
    .split(/\r?\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .flatMap((line) => requirementOf(line, dev) ?? [])
}

function requirementOf(line: string, dev: boolean): Requirement | undefined {
  const text = line.replace(/^(-e|--editable)[\s=]+/, '')
  if (text === '' || text.startsWith('-')) return undefined
  const hashed = text.includes('--hash=')
  const named = /^([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*@\s*(\S+)/.exec(text)
  const address = named?.[2] ?? (/^(git\+|https?:|file:|\.{0,2}\/)/.test(text) ? (text.split(/\s/)[0] ?? '') : undefined)
  if (address !== undefined) {
    const name = named?.[1] ?? /[#&]egg=([\w.-]+)/.exec(address)?.[1] ?? address.replace(/[#?].*$/, '').replace(/^.*\//, '')
    if (name === '' || name === '.') return undefined
    return { name: normalisedPythonName(name), range: '', version: null, dev, source: sourceOf(address), address, hashed }
  }
  const match = /^([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*([^;]*?)\s*(?:;.*|--hash=.*)?$/.exec(text)
  if (!match?.[1]) return undefined
  const range = (match[2] ?? '')
    .replace(/\s*--hash=.*$/, '')
    .replace(/^\((.*)\)$/, '$1')
    .trim()
  const exact = /^={2,3}\s*([^\s,*]+)$/.exec(range)?.[1] ?? null
  return { name: normalisedPythonName(match[1]), range, version: exact, dev, source: 'registry', hashed }
}

/** A requirements.txt in which every version is exact, as a lock file. */
export function lockOfRequirements(requirements: Requirement[]): LockFile {
  const packages = requirements.map(
    ({ name, version, dev, hashed, source, address }): Locked => ({ name, version, direct: true, dev, integrity: hashed, source, address }),
  )
  return { ecosystem: 'pypi', format: 'requirements.txt', packages, holdsDigests: requirements.some(({ hashed }) => hashed) }
}

export function readPoetryLock(text: string): LockFile {
  const lock = fieldsOf(parseToml(text))
  const olderFiles = fieldsOf(fieldsOf(lock.metadata).files)
  const packages = listOf(lock.package)
    .map(fieldsOf)
    .map((entry): Locked => {
      const name = textOf(entry.name) ?? ''
      const source = fieldsOf(entry.source)
      const address = textOf(source.url)
      const groups = listOf(entry.groups)
      const kinds: Record<string, Locked['source']> = { git: 'git', url: 'url', directory: 'file', file: 'file' }
      return {
        name: normalisedPythonName(name),
        version: textOf(entry.version) ?? null,
        dev: entry.category === 'dev' || (groups.length > 0 && !groups.includes('main')),
        integrity: listOf(entry.files).length > 0 || listOf(olderFiles[name]).length > 0,
        source: kinds[textOf(source.type) ?? ''] ?? 'registry',
        address,
      }
    })
  return { ecosystem: 'pypi', format: 'poetry.lock', packages, holdsDigests: true }
}

export function readUvLock(text: string): LockFile {
  const entries = listOf(fieldsOf(parseToml(text)).package).map(fieldsOf)
  const isOwn = ({ source }: Fields) => ['virtual', 'editable'].some((kind) => kind in fieldsOf(source))
  const namesIn = (list: unknown) => listOf(list).flatMap((item) => textOf(fieldsOf(item).name) ?? [])
  const groupsIn = (groups: unknown) => Object.values(fieldsOf(groups)).flatMap(namesIn)
  const own = entries.filter(isOwn)
  const production = own.flatMap((entry) => [...namesIn(entry.dependencies), ...groupsIn(entry['optional-dependencies'])])
  const development = own.flatMap((entry) => groupsIn(entry['dev-dependencies']))
  const entriesByName = new Map<string, Fields[]>()
  for (const entry of entries) {
    const name = textOf(entry.name) ?? ''
    entriesByName.set(name, [...(entriesByName.get(name) ?? []), entry])
  }
  const followers = (name: string) =>
    (entriesByName.get(name) ?? []).flatMap((entry) => [...namesIn(entry.dependencies), ...groupsIn(entry['optional-dependencies'])])
  const needed = reachable(production, followers)
  const direct = new Set([...production, ...development])

  const packages = entries
    .filter((entry) => !isOwn(entry))
    .map((entry): Locked => {
      const name = textOf(entry.name) ?? ''
      const source = fieldsOf(entry.source)
      const archives = [entry.sdist, ...listOf(entry.wheels)].map(fieldsOf)
      const kind = source.git !== undefined ? 'git' : source.url !== undefined ? 'url' : source.registry !== undefined ? 'registry' : 'file'
      return {
        name: normalisedPythonName(name),
        version: textOf(entry.version) ?? null,
        direct: direct.has(name),
        dev: !needed.has(name),
        integrity: archives.some(({ hash }) => hash !== undefined),
        source: kind,
        address: textOf(source.git) ?? textOf(source.url),
      }
    })
  return { ecosystem: 'pypi', format: 'uv.lock', packages, holdsDigests: true }
}

export function readPipfileLock(text: string): LockFile {
  const lock = parseObject(text)
  const section = (field: string, dev: boolean) =>
    entriesOf(lock[field]).map(([name, entry]): Locked => {
      const address = textOf(entry.git) ?? textOf(entry.file) ?? textOf(entry.path)
      return {
        name: normalisedPythonName(name),
        version: textOf(entry.version)?.replace(/^==/, '') ?? null,
        dev,
        integrity: listOf(entry.hashes).length > 0,
        source: entry.git !== undefined ? 'git' : sourceOf(address),
        address,
      }
    })
  const production = section('default', false)
  const known = new Set(production.map(({ name }) => name))
  const development = section('develop', true).filter(({ name }) => !known.has(name))
  return { ecosystem: 'pypi', format: 'Pipfile.lock', packages: [...production, ...development], holdsDigests: true }
}

/** The direct dependencies of a pyproject.toml: PEP 621, PEP 735 and poetry's own tables. */
export function readPyproject(text: string): Manifest {
  const file = fieldsOf(parseToml(text))
  const project = fieldsOf(file.project)
  const poetry = fieldsOf(fieldsOf(file.tool).poetry)
  const requirements = (list: unknown, dev: boolean) =>
    readRequirements(
      listOf(list)
        .flatMap((item) => textOf(item) ?? [])
        .join('\n'),
      dev,
    )
  const table = (dependencies: unknown, dev: boolean) =>
    Object.entries(fieldsOf(dependencies))
      .filter(([name]) => name !== 'python')
      .map(([name, value]): Declared => {
        const entry = fieldsOf(value)
        const address = textOf(entry.git) ?? textOf(entry.url) ?? textOf(entry.path)
        const source = entry.git !== undefined ? 'git' : sourceOf(address)
        return { name: normalisedPythonName(name), range: textOf(value) ?? textOf(entry.version) ?? '', dev, source }
      })
  const declared = [
    ...requirements(project.dependencies, false),
    ...Object.values(fieldsOf(project['optional-dependencies'])).flatMap((list) => requirements(list, false)),
    ...Object.values(fieldsOf(file['dependency-groups'])).flatMap((list) => requirements(list, true)),
    ...table(poetry.dependencies, false),
    ...table(poetry['dev-dependencies'], true),
    ...entriesOf(poetry.group).flatMap(([, group]) => table(group.dependencies, true)),
  ]
  return { ecosystem: 'pypi', declared, needsLockFile: true }
}

export function readPipfile(text: string): Manifest {
  const file = fieldsOf(parseToml(text))
  const table = (field: string, dev: boolean) =>
    Object.entries(fieldsOf(file[field])).map(([name, value]): Declared => {
      const entry = fieldsOf(value)
      const source = entry.git !== undefined ? 'git' : sourceOf(textOf(entry.file) ?? textOf(entry.path))
      return { name: normalisedPythonName(name), range: textOf(value) ?? textOf(entry.version) ?? '', dev, source }
    })
  return { ecosystem: 'pypi', declared: [...table('packages', false), ...table('dev-packages', true)], needsLockFile: true }
}
