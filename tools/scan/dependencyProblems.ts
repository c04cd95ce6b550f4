import type { DependencyProblem as Problem } from './dependency.ts'
import type { DependencyFiles, ReadLockFile, ReadManifest } from './dependencyFiles.ts'
import { compareText } from './finding.ts'
import type { Declared } from './lockfiles/locked.ts'

const MAX_NAMED = 5

/** What the files by themselves show to be wrong; no advisory database is asked. */
export function dependencyProblems(files: DependencyFiles): Problem[] {
  return [
    ...files.unreadable.map(unreadable),
    ...files.manifests.flatMap((manifest) => [...withoutLock(manifest), ...openRanges(manifest)]),
    ...files.lockFiles.flatMap((lock) => [...withoutIntegrity(lock), ...oddSources(lock), ...severalVersions(lock), ...snapshots(lock)]),
  ]
}

function unreadable({ path, reason }: { path: string; reason: string }): Problem {
  return {
    rule: 'dependencies.unreadable',
    severity: 'high',
    path,
    message: `The file can not be read: ${reason}.`,
    advice: 'Write it anew with its package manager; what is not read is not checked.',
  }
}

function withoutLock(manifest: ReadManifest): Problem[] {
  const fetched = manifest.declared.filter(({ source }) => source !== 'file')
  if (!manifest.needsLockFile || manifest.lockFile !== null || fetched.length === 0 || manifest.ecosystem === 'golang') return []
  return [
    {
      rule: 'dependencies.no-lock-file',
      severity: 'medium',
      path: manifest.path,
      message: `${counted(fetched.length, 'dependency', 'dependencies')} and no lock file: two installations can differ.`,
      advice: "Commit the package manager's lock file.",
    },
  ]
}

/** With a lock file a range is how it should be; without one it decides what is installed. Any version at all is never meant. */
function openRanges(manifest: ReadManifest): Problem[] {
  const fetched = manifest.declared.filter(({ source }) => source === 'registry')
  const unbounded = fetched.filter(isUnbounded)
  const loose =
    manifest.lockFile === null && manifest.ecosystem !== 'golang' ? fetched.filter((one) => !isUnbounded(one) && !isExact(one)) : []
  return [
    ...about(unbounded, manifest, 'dependencies.any-version', manifest.lockFile === null ? 'medium' : 'low', {
      message: 'any version is accepted',
      advice: 'Give the range that is tested.',
    }),
    ...about(loose, manifest, 'dependencies.unpinned', 'low', {
      message: 'only a range is given and no lock file pins it',
      advice: 'Commit a lock file, or give exact versions.',
    }),
  ]
}

function isUnbounded({ range }: Declared): boolean {
  return /^(|\*|x|latest|LATEST|RELEASE|>=\s*0(\.0)*)$/.test(range.trim())
}

function isExact({ range }: Declared): boolean {
  return /^(=|==|===|v)?\s*\d+(\.\w+)*([-+.][\w.+-]+)?$/.test(range.trim())
}

function about(
  list: Declared[],
  { path, ecosystem }: ReadManifest,
  rule: string,
  severity: Problem['severity'],
  texts: { message: string; advice: string },
): Problem[] {
  // A Gemfile or pom.xml leaves versions to its lock file or parent; to name each would say nothing.
  if (list.length === 0 || ecosystem === 'gem' || ecosystem === 'maven') return []
  const names = list.map(({ name }) => name)
  return [
    {
      rule,
      severity,
      path,
      message: `For ${named(names)} ${texts.message}.`,
      advice: texts.advice,
      package: names.length === 1 ? names[0] : undefined,
    },
  ]
}

function withoutIntegrity(lock: ReadLockFile): Problem[] {
  const bare = lock.packages.filter(({ integrity, source }) => !integrity && (source === 'registry' || source === 'url'))
  if (!lock.isLock || bare.length === 0) return []
  if (!lock.holdsDigests && lock.format !== 'go.mod') {
    if (lock.format !== 'requirements.txt') return []
    return [
      problem(
        'dependencies.no-digests',
        'low',
        lock,
        'The versions are exact, but no digest pins their content.',
        'Add hashes: pip-compile --generate-hashes.',
      ),
    ]
  }
  if (lock.format === 'go.mod') {
    const rule = lock.holdsDigests ? 'dependencies.missing-integrity' : 'dependencies.no-lock-file'
    const text = lock.holdsDigests
      ? `go.sum holds no digest for ${named(bare.map(({ name }) => name))}.`
      : 'There is no go.sum: nothing proves that the modules are the ones that were tested.'
    return [problem(rule, 'medium', lock, text, 'Run go mod tidy and commit go.sum.')]
  }
  const text = `${counted(bare.length, 'package has', 'packages have')} no digest: ${named(bare.map(({ name }) => name))}.`
  return [problem('dependencies.missing-integrity', 'medium', lock, text, 'Write the lock file anew, so that changed content is noticed.')]
}

function oddSources(lock: ReadLockFile): Problem[] {
  return lock.packages.flatMap((locked) => {
    const { name, source, address = '' } = locked
    const about = { package: name }
    if (/^(git\+)?http:/.test(address)) {
      const text = `${name} is fetched by http without encryption, from ${withoutCredentials(address)}.`
      return [{ ...problem('dependencies.insecure-source', 'high', lock, text, 'Use https.'), ...about }]
    }
    if (source === 'git') {
      const text = `${name} comes from git${address ? `, ${withoutCredentials(address)}` : ''}: no release, no registry's checks.`
      return [{ ...problem('dependencies.git-source', 'low', lock, text, 'Use a release from the registry, or publish one.'), ...about }]
    }
    if (source === 'url') {
      const text = `${name} is fetched from ${withoutCredentials(address)}, outside the registry.`
      const severity = locked.integrity ? 'low' : 'medium'
      return [{ ...problem('dependencies.url-source', severity, lock, text, 'Use a release from the registry.'), ...about }]
    }
    return []
  })
}

function withoutCredentials(address: string): string {
  return address.replace(/\/\/[^/@]*@/, '//').slice(0, 200)
}

function severalVersions(lock: ReadLockFile): Problem[] {
  const versions = new Map<string, Set<string>>()
  for (const { name, version } of lock.packages) {
    if (version !== null) versions.set(name, (versions.get(name) ?? new Set()).add(version))
  }
  const several = [...versions].filter(([, all]) => all.size > 1).sort(([a, x], [b, y]) => y.size - x.size || compareText(a, b))
  return several.slice(0, 100).map(([name, all]) => ({
    ...problem(
      'dependencies.several-versions',
      all.size >= 4 ? 'low' : 'info',
      lock,
      `${name} is there in ${all.size} versions: ${[...all].sort(compareText).slice(0, 10).join(', ')}.`,
      'Bring the packages that need it to a common version.',
    ),
    package: name,
  }))
}

function snapshots(lock: ReadLockFile): Problem[] {
  return lock.packages
    .filter(({ version }) => version?.endsWith('-SNAPSHOT'))
    .map(({ name, version }) => ({
      ...problem('dependencies.snapshot', 'medium', lock, `${name} ${version} is a snapshot: its content changes.`, 'Use a release.'),
      package: name,
    }))
}

function problem(rule: string, severity: Problem['severity'], { path }: ReadLockFile, message: string, advice: string): Problem {
  return { rule, severity, path, message, advice }
}

function named(names: string[]): string {
  const shown = names.slice(0, MAX_NAMED).join(', ')
  return names.length > MAX_NAMED ? `${shown} and ${names.length - MAX_NAMED} more` : shown
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}
