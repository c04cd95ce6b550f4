import { parse as parseToml } from 'smol-toml'
import { type Declared, type Locked, type LockFile, type Manifest, sourceOf } from './locked.ts'
import { fieldsOf, listOf, textOf } from './untyped.ts'

export function readCargoLock(text: string): LockFile {
  const entries = listOf(fieldsOf(parseToml(text)).package).map(fieldsOf)
  // Packages without a source are the workspace's own.
  const named = new Set(
    entries.filter(({ source }) => source === undefined).flatMap(({ dependencies }) => listOf(dependencies).map(String)),
  )
  const packages = entries
    .filter(({ source }) => source !== undefined)
    .map((entry): Locked => {
      const name = textOf(entry.name) ?? ''
      const version = textOf(entry.version) ?? null
      const address = textOf(entry.source) ?? ''
      const source = address.startsWith('git+') ? 'git' : 'registry'
      return {
        name,
        version,
        direct: named.has(name) || named.has(`${name} ${version}`) || named.has(`${name} ${version} (${address})`),
        integrity: entry.checksum !== undefined,
        source,
        address: source === 'git' ? address : undefined,
      }
    })
  return { ecosystem: 'cargo', format: 'Cargo.lock', packages, holdsDigests: true }
}

export function readCargoToml(text: string): Manifest {
  const file = fieldsOf(parseToml(text))
  const tables = [file, fieldsOf(file.workspace), ...Object.values(fieldsOf(file.target)).map(fieldsOf)]
  const declared = tables.flatMap((table) =>
    ['dependencies', 'build-dependencies', 'dev-dependencies'].flatMap((field) =>
      Object.entries(fieldsOf(table[field])).map(([key, value]): Declared => {
        const entry = fieldsOf(value)
        const source = entry.git !== undefined ? 'git' : sourceOf(textOf(entry.path) === undefined ? undefined : 'file:')
        return {
          name: textOf(entry.package) ?? key,
          range: textOf(value) ?? textOf(entry.version) ?? '',
          dev: field === 'dev-dependencies',
          source,
        }
      }),
    ),
  )
  return { ecosystem: 'cargo', declared: declared.filter(({ source }) => source !== 'file'), needsLockFile: true }
}
