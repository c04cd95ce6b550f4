import { PackageURL } from 'packageurl-js'
import type { Ecosystem } from './dependency.ts'

/** The package URL of a package; a name that the specification does not allow is percent-encoded as it stands. */
export function packageUrl(ecosystem: Ecosystem, name: string, version: string | null): string {
  const cut = ecosystem === 'maven' ? name.indexOf(':') : name.lastIndexOf('/')
  const namespace = cut > 0 ? name.slice(0, cut) : undefined
  const bare = name.slice(cut + 1)
  try {
    return new PackageURL(ecosystem, namespace, bare, version ?? undefined, undefined, undefined).toString()
  } catch {
    return `pkg:${ecosystem}/${encodeURIComponent(name)}${version === null ? '' : `@${encodeURIComponent(version)}`}`
  }
}
