import type { TreeEntry } from '../frame/git.ts'
import type { Ecosystem } from './dependency.ts'
import { linguist } from './linguist.ts'
import type { Declared, Locked } from './lockfiles/locked.ts'
import { type Format, formatOf, type Reading } from './lockfiles/read.ts'
import { contentsOf, folderOf, type ScannedTree } from './tree.ts'

const MAX_BYTES = 32 * 1024 * 1024

export interface ReadLockFile {
  path: string
  ecosystem: Ecosystem
  format: string
  /** False for a manifest that names versions itself. */
  isLock: boolean
  readable: boolean
  holdsDigests: boolean
  packages: (Locked & { ecosystem: Ecosystem; direct: boolean; dev: boolean })[]
}

export interface ReadManifest {
  path: string
  ecosystem: Ecosystem
  declared: Declared[]
  needsLockFile: boolean
  lockFile: string | null
}

export interface DependencyFiles {
  lockFiles: ReadLockFile[]
  manifests: ReadManifest[]
  unreadable: { path: string; reason: string }[]
}

interface Source {
  path: string
  format: Format
  text: string
}

/** Reads every lock file and manifest that is the repository's own: not vendored, not a fixture. */
export async function readDependencyFiles(tree: ScannedTree): Promise<DependencyFiles> {
  const files: DependencyFiles = { lockFiles: [], manifests: [], unreadable: [] }
  const { sources, texts } = await load(tree, files)

  const lockPaths = sources
    .filter(({ format }) => format.kind === 'lock')
    .map(({ path, format }) => ({ path, ecosystem: format.ecosystem }))
  for (const source of sources.filter(({ format }) => format.kind === 'manifest')) {
    const reading = read(source, [], texts, files)
    const own = reading?.lock ? source.path : null
    if (reading?.manifest)
      files.manifests.push({ ...reading.manifest, path: source.path, lockFile: own ?? coveringLock(source, lockPaths) })
    // A manifest that a lock file covers says nothing that the lock file does not say better.
    if (reading?.lock) files.lockFiles.push(toLockFile(source, reading.lock, true, files.manifests))
    else if (reading?.packages && coveringLock(source, lockPaths) === null) {
      const { ecosystem } = source.format
      const loose = {
        ecosystem,
        format: source.path.slice(source.path.lastIndexOf('/') + 1),
        packages: reading.packages,
        holdsDigests: false,
      }
      files.lockFiles.push(toLockFile(source, loose, false, files.manifests))
    }
  }
  for (const source of sources.filter(({ format }) => format.kind === 'lock')) {
    const covered = files.manifests.filter(({ lockFile }) => lockFile === source.path)
    const reading = read(source, covered, texts, files)
    if (reading?.lock) files.lockFiles.push(toLockFile(source, reading.lock, true, covered))
    else files.lockFiles.push(unreadableLock(source))
  }
  files.lockFiles.sort((a, b) => (a.path < b.path ? -1 : 1))
  return files
}

async function load(tree: ScannedTree, files: DependencyFiles): Promise<{ sources: Source[]; texts: Map<string, string> }> {
  const sources: Source[] = []
  const texts = new Map<string, string>()
  const wanted = tree.files.filter(({ path }) => isOwn(path) && (formatOf(path) || path.endsWith('go.sum')))
  for await (const { file, blob } of contentsOf(tree, wanted, MAX_BYTES)) {
    if (blob.kind === 'loaded') {
      const text = blob.content.toString('utf8')
      texts.set(file.path, text)
      const format = formatOf(file.path)
      if (format) sources.push({ path: file.path, format, text })
    } else files.unreadable.push({ path: file.path, reason: unreadReason(file, blob.kind) })
  }
  sources.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { sources, texts }
}

function isOwn(path: string): boolean {
  return !linguist().isVendored(path) && !/(^|\/)(__)?(test)?(fixtures?|data)(__)?\//i.test(path)
}

function unreadReason(file: TreeEntry, kind: 'too_large' | 'missing'): string {
  return kind === 'too_large' ? `It has ${file.size} bytes; up to ${MAX_BYTES} are read` : 'Its content is not in this clone'
}

function read(source: Source, manifests: ReadManifest[], texts: Map<string, string>, files: DependencyFiles): Reading | undefined {
  const folder = folderOf(source.path)
  const sibling = (name: string) => texts.get(folder === '' ? name : `${folder}/${name}`)
  try {
    return source.format.read(source.text, { path: source.path, sibling, manifests })
  } catch (error) {
    files.unreadable.push({ path: source.path, reason: firstLine(error) })
    return undefined
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]?.slice(0, 300) ?? ''
}

/** The lock file of the same ecosystem in the nearest folder upwards: workspaces share one at their top. */
function coveringLock(source: Source, locks: { path: string; ecosystem: Ecosystem }[]): string | null {
  for (let folder = folderOf(source.path); ; folder = folderOf(folder)) {
    const found = locks.find(({ path, ecosystem }) => ecosystem === source.format.ecosystem && folderOf(path) === folder)
    if (found) return found.path
    if (folder === '') return null
  }
}

function toLockFile(source: Source, lock: NonNullable<Reading['lock']>, isLock: boolean, covered: ReadManifest[]): ReadLockFile {
  const declared = covered.flatMap((manifest) => manifest.declared)
  const names = new Set(declared.map(({ name }) => name))
  const production = new Set(declared.filter(({ dev }) => !dev).map(({ name }) => name))
  const packages = lock.packages.map((locked) => {
    const direct = locked.direct ?? names.has(locked.name)
    return {
      ...locked,
      ecosystem: lock.ecosystem,
      direct,
      dev: locked.dev ?? (direct && names.has(locked.name) && !production.has(locked.name)),
    }
  })
  const { ecosystem, format, holdsDigests } = lock
  return { path: source.path, ecosystem, format, isLock, readable: true, holdsDigests, packages }
}

function unreadableLock({ path, format }: Source): ReadLockFile {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return { path, ecosystem: format.ecosystem, format: name, isLock: true, readable: false, holdsDigests: false, packages: [] }
}
