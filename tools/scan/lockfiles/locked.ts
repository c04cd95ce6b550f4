import type { Dependency, Ecosystem } from '../dependency.ts'

/** One package of a lock file. */
export interface Locked {
  name: string
  version: string | null
  /** undefined: the lock file does not tell; the manifests do. */
  direct?: boolean
  /** undefined: the lock file does not tell; the manifests do, for direct ones. */
  dev?: boolean
  licence?: string
  integrity: boolean
  source: Dependency['source']
  /** Where it is fetched from, when that is not the registry. */
  address?: string
}

export interface LockFile {
  ecosystem: Ecosystem
  format: string
  packages: Locked[]
  /** False where the format has no digests, so that their absence is no fault of the repository. */
  holdsDigests: boolean
}

/** One line of a manifest. */
export interface Declared {
  name: string
  /** As written; empty for any version. */
  range: string
  dev: boolean
  source: Dependency['source']
}

export interface Manifest {
  ecosystem: Ecosystem
  declared: Declared[]
  /** False where versions are exact in the manifest itself, or where it is common to have no lock file. */
  needsLockFile: boolean
}

/** What kind of place an address leads to. */
export function sourceOf(address: string | undefined): Dependency['source'] {
  if (address === undefined || address === '') return 'registry'
  if (/^git[+@:]|^ssh:|\.git(#|$)|^(github|gitlab|bitbucket):|#[0-9a-f]{40}$/.test(address)) return 'git'
  if (/^(file|link|portal|workspace):|^\.{0,2}\//.test(address)) return 'file'
  return /^https?:/.test(address) ? 'url' : 'registry'
}

/** Everything that `roots` lead to. */
export function reachable<Key>(roots: Iterable<Key>, next: (key: Key) => Iterable<Key>): Set<Key> {
  const seen = new Set<Key>(roots)
  for (const key of seen) for (const follower of next(key)) seen.add(follower)
  return seen
}
