import type { Declared, Locked, LockFile, Manifest } from './locked.ts'

interface Required {
  name: string
  version: string
  indirect: boolean
}

/**
 * go.mod is manifest and lock file at once: its versions are exact and, since Go 1.17, it names all that is needed.
 * @param sums go.sum of the same folder; undefined when there is none
 */
export function readGoMod(text: string, sums: string | undefined): { manifest: Manifest; lock: LockFile } {
  const { required, replaced } = directives(text)
  const digests = new Set((sums ?? '').split('\n').map((line) => line.split(' ').slice(0, 2).join(' ')))
  const packages = required.map(({ name, version, indirect }): Locked => {
    const target = replaced.get(`${name} ${version}`) ?? replaced.get(name)
    const isLocal = target !== undefined && /^\.{0,2}\//.test(target.name)
    const used = target === undefined || isLocal ? { name, version } : target
    return {
      name: used.name,
      version: used.version || null,
      direct: !indirect,
      dev: false,
      integrity: isLocal || digests.has(`${used.name} ${used.version}`) || digests.has(`${used.name} ${used.version}/go.mod`),
      source: isLocal ? 'file' : 'registry',
    }
  })
  const declared = required
    .filter(({ indirect }) => !indirect)
    .map(({ name, version }): Declared => ({ name, range: version, dev: false, source: 'registry' }))
  return {
    manifest: { ecosystem: 'golang', declared, needsLockFile: true },
    lock: { ecosystem: 'golang', format: 'go.mod', packages, holdsDigests: sums !== undefined },
  }
}

function directives(text: string): { required: Required[]; replaced: Map<string, { name: string; version: string }> } {
  if (!/^\s*module\s/m.test(text)) throw new Error('It has no module line')
  const required: Required[] = []
  const replaced = new Map<string, { name: string; version: string }>()
  let block = ''
  for (const raw of text.split('\n')) {
    const [code = '', comment = ''] = raw.split('//').map((part) => part.trim())
    const opening = /^(\w+)\s*\($/.exec(code)
    if (opening) block = opening[1] ?? ''
    else if (code === ')') block = ''
    else if (code !== '') {
      const words = code.split(/\s+/).map((word) => word.replace(/^["`]|["`]$/g, ''))
      const directive = block || words.shift()
      if (directive === 'require' && words[0] && words[1])
        required.push({ name: words[0], version: words[1], indirect: comment.startsWith('indirect') })
      if (directive === 'replace') readReplacement(words, replaced)
    }
  }
  return { required, replaced }
}

function readReplacement(words: string[], replaced: Map<string, { name: string; version: string }>): void {
  const arrow = words.indexOf('=>')
  const name = words[arrow + 1]
  if (arrow > 0 && name) replaced.set(words.slice(0, arrow).join(' '), { name, version: words[arrow + 2] ?? '' })
}
