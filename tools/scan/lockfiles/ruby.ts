import type { Declared, Locked, LockFile, Manifest } from './locked.ts'

const SECTION = /^([A-Z][A-Z ]*)$/

/** Gemfile.lock: sections of indented lines; four spaces are a gem, six what it needs. */
export function readGemfileLock(text: string): LockFile {
  const gems: Locked[] = []
  const direct = new Set<string>()
  const digests = new Set<string>()
  let hasChecksums = false
  let section = ''
  let address: string | undefined
  for (const line of text.split(/\r?\n/)) {
    const heading = SECTION.exec(line)
    if (heading) {
      section = heading[1] ?? ''
      address = undefined
      if (section === 'CHECKSUMS') hasChecksums = true
      continue
    }
    const remote = /^ {2}remote: (.+)$/.exec(line)
    if (remote) address = remote[1]
    const gem = /^ {4}(\S+) \(([^)]+)\)$/.exec(line)
    if (gem?.[1] && ['GEM', 'GIT', 'PATH'].includes(section)) {
      const source = section === 'GIT' ? 'git' : section === 'PATH' ? 'file' : 'registry'
      const isInsecure = address?.startsWith('http:') === true
      gems.push({
        name: gem[1],
        version: gem[2] ?? null,
        integrity: false,
        source,
        address: source === 'git' || isInsecure ? address : undefined,
      })
    }
    const dependency = /^ {2}([^\s!]+)/.exec(line)
    if (dependency?.[1] && section === 'DEPENDENCIES') direct.add(dependency[1])
    const checksum = /^ {2}(\S+) \(([^)]+)\) sha\d+=/.exec(line)
    if (checksum && section === 'CHECKSUMS') digests.add(`${checksum[1]} ${checksum[2]}`)
  }
  if (gems.length === 0 && !/^DEPENDENCIES$/m.test(text)) throw new Error('It has neither a GEM nor a DEPENDENCIES section')
  const packages = gems.map((gem) => ({ ...gem, direct: direct.has(gem.name), integrity: digests.has(`${gem.name} ${gem.version}`) }))
  return { ecosystem: 'gem', format: 'Gemfile.lock', packages, holdsDigests: hasChecksums }
}

/** The gems that a Gemfile names on lines of their own. Ruby is not run, so what it computes is not seen. */
export function readGemfile(text: string): Manifest {
  const declared: Declared[] = []
  const groups: boolean[] = []
  for (const line of text.split(/\r?\n/)) {
    const code = line.replace(/(^|\s)#.*$/, '').trim()
    if (/\bdo(\s*\|.*\|)?$/.test(code) || /^(if|unless|case)\b/.test(code)) groups.push(/^group\b/.test(code) && isDevelopment(code))
    else if (code === 'end') groups.pop()
    const gem = /^gem\s*\(?\s*['"]([^'"]+)['"](.*)$/.exec(code)
    if (!gem?.[1]) continue
    const rest = gem[2] ?? ''
    const range = [...rest.matchAll(/,\s*['"]([~><=!]*\s*\d[^'"]*)['"]/g)].map(([, part]) => part).join(', ')
    const source = /\b(git|github):|:git(hub)?\s*=>/.test(rest) ? 'git' : /\bpath:|:path\s*=>/.test(rest) ? 'file' : 'registry'
    declared.push({ name: gem[1], range, dev: groups.includes(true) || (/\bgroups?:/.test(rest) && isDevelopment(rest)), source })
  }
  return { ecosystem: 'gem', declared, needsLockFile: true }
}

function isDevelopment(code: string): boolean {
  const names = [...code.matchAll(/:(\w+)/g)].map(([, name]) => name ?? '')
  return names.length > 0 && names.every((name) => /^(development|test|ci|lint|docs|group|groups)$/.test(name))
}
