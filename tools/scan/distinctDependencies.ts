import type { Dependency } from './dependency.ts'
import type { DependencyFiles } from './dependencyFiles.ts'
import { compareText } from './finding.ts'
import { packageUrl } from './packageUrl.ts'

/** A package of one version that several lock files hold is one dependency: direct where any says so, of production where any does. */
export function distinctDependencies(files: DependencyFiles): Dependency[] {
  const all = files.lockFiles.flatMap(({ path, packages }) => packages.map((locked) => ({ ...locked, path })))
  const known = new Map<string, Dependency>()
  for (const { ecosystem, name, version, direct, dev, licence, integrity, source, path } of all) {
    const purl = packageUrl(ecosystem, name, version)
    const same = known.get(purl)
    if (same) {
      same.direct ||= direct
      same.dev &&= dev
      same.integrity &&= integrity
      same.licence ??= licence
    } else known.set(purl, { ecosystem, name, version, direct, dev, purl, licence, integrity, source, path })
  }
  return [...known.values()].sort(
    (a, b) => compareText(a.ecosystem, b.ecosystem) || compareText(a.name, b.name) || compareText(a.version ?? '', b.version ?? ''),
  )
}
