import type { Ecosystem } from '../dependency.ts'
import { readGoMod } from './go.ts'
import { readGradleLock, readPom } from './jvm.ts'
import type { Locked, LockFile, Manifest } from './locked.ts'
import { readPackageJson, readPackageLock, readPnpmLock, readYarnLock } from './npm.ts'
import { readComposerJson, readComposerLock } from './php.ts'
import { lockOfRequirements, readPipfile, readPipfileLock, readPoetryLock, readPyproject, readRequirements, readUvLock } from './python.ts'
import { readGemfile, readGemfileLock } from './ruby.ts'
import { readCargoLock, readCargoToml } from './rust.ts'

/** What one file says. A file may be manifest and lock file at once. */
export interface Reading {
  manifest?: Manifest
  lock?: LockFile
  /** Packages of a manifest that names exact versions itself. */
  packages?: Locked[]
}

export interface Format {
  ecosystem: Ecosystem
  kind: 'manifest' | 'lock'
  /** `sibling` gives the text of another file of the same folder; `manifests` those that the lock file covers. */
  read(text: string, context: { path: string; sibling(name: string): string | undefined; manifests: Manifest[] }): Reading
}

const lock = (ecosystem: Ecosystem, read: (text: string, manifests: Manifest[]) => LockFile): Format => ({
  ecosystem,
  kind: 'lock',
  read: (text, { manifests }) => ({ lock: read(text, manifests) }),
})
const manifest = (ecosystem: Ecosystem, read: (text: string) => Manifest): Format => ({
  ecosystem,
  kind: 'manifest',
  read: (text) => ({ manifest: read(text) }),
})

const BY_NAME: Record<string, Format> = {
  'package.json': manifest('npm', readPackageJson),
  'package-lock.json': lock('npm', readPackageLock),
  'npm-shrinkwrap.json': lock('npm', readPackageLock),
  'yarn.lock': lock('npm', readYarnLock),
  'pnpm-lock.yaml': lock('npm', readPnpmLock),
  'pyproject.toml': manifest('pypi', readPyproject),
  Pipfile: manifest('pypi', readPipfile),
  'poetry.lock': lock('pypi', readPoetryLock),
  'uv.lock': lock('pypi', readUvLock),
  'Pipfile.lock': lock('pypi', readPipfileLock),
  'go.mod': { ecosystem: 'golang', kind: 'manifest', read: (text, { sibling }) => readGoMod(text, sibling('go.sum')) },
  'Cargo.toml': manifest('cargo', readCargoToml),
  'Cargo.lock': lock('cargo', readCargoLock),
  'pom.xml': { ecosystem: 'maven', kind: 'manifest', read: readPom },
  'gradle.lockfile': lock('maven', readGradleLock),
  Gemfile: manifest('gem', readGemfile),
  'Gemfile.lock': lock('gem', readGemfileLock),
  'composer.json': manifest('composer', readComposerJson),
  'composer.lock': lock('composer', readComposerLock),
}

const REQUIREMENTS: Format = {
  ecosystem: 'pypi',
  kind: 'manifest',
  read(text, { path }) {
    const declared = readRequirements(text, /dev|test|lint|docs?\b|ci\b/i.test(path))
    const isExact = declared.length > 0 && declared.every(({ version, source }) => version !== null || source !== 'registry')
    const lockFile = lockOfRequirements(declared)
    return {
      manifest: { ecosystem: 'pypi', declared, needsLockFile: true },
      lock: isExact ? lockFile : undefined,
      packages: lockFile.packages,
    }
  },
}

/** The format of a file by its name; undefined when it is neither manifest nor lock file. */
export function formatOf(path: string): Format | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const known = Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined
  return known ?? (/(^|\/)(requirements([._-][^/]*)?|requirements\/[^/]+)\.txt$/i.test(path) ? REQUIREMENTS : undefined)
}
