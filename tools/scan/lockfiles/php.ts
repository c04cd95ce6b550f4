import { type Declared, type Locked, type LockFile, type Manifest, sourceOf } from './locked.ts'
import { fieldsOf, listOf, parseObject, textOf } from './untyped.ts'

export function readComposerLock(text: string): LockFile {
  const lock = parseObject(text)
  const section = (field: string, dev: boolean) =>
    listOf(lock[field])
      .map(fieldsOf)
      .map((entry): Locked => {
        const dist = fieldsOf(entry.dist)
        const origin = fieldsOf(entry.source)
        return {
          name: textOf(entry.name) ?? '',
          version: textOf(entry.version) ?? null,
          dev,
          licence: listOf(entry.license).map(String).join(' OR ') || undefined,
          // Archives of a forge carry the commit instead of a digest.
          integrity: Boolean(textOf(dist.shasum) || textOf(dist.reference) || textOf(origin.reference)),
          source: dist.type === 'path' ? 'file' : Object.keys(dist).length === 0 ? 'git' : 'registry',
          address: Object.keys(dist).length === 0 ? textOf(origin.url) : undefined,
        }
      })
  return {
    ecosystem: 'composer',
    format: 'composer.lock',
    packages: [...section('packages', false), ...section('packages-dev', true)],
    holdsDigests: true,
  }
}

export function readComposerJson(text: string): Manifest {
  const manifest = parseObject(text)
  const table = (field: string, dev: boolean) =>
    Object.entries(fieldsOf(manifest[field]))
      .filter(([name]) => name.includes('/')) // the others are PHP itself and its extensions
      .map(([name, range]): Declared => ({ name, range: textOf(range) ?? '', dev, source: sourceOf(undefined) }))
  return { ecosystem: 'composer', declared: [...table('require', false), ...table('require-dev', true)], needsLockFile: true }
}
