import { XMLParser } from 'fast-xml-parser'
import type { Declared, Locked, LockFile, Manifest } from './locked.ts'
import { type Fields, fieldsOf, textOf } from './untyped.ts'

const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  isArray: (name) => name === 'dependency' || name === 'profile',
})

/** A pom.xml names its direct dependencies; versions it inherits from elsewhere are not known here. */
export function readPom(text: string): { manifest: Manifest; packages: Locked[] } {
  const project = fieldsOf(fieldsOf(parser.parse(text, true)).project)
  if (Object.keys(project).length === 0) throw new Error('It has no project element')
  const parent = fieldsOf(project.parent)
  const properties: Fields = {
    'project.version': project.version ?? parent.version,
    'project.groupId': project.groupId ?? parent.groupId,
    'project.parent.version': parent.version,
    ...fieldsOf(project.properties),
  }
  const managed = new Map(
    dependenciesIn(fieldsOf(project.dependencyManagement)).map((entry) => [coordinates(entry, properties), entry.version]),
  )
  const profiles = Array.isArray(fieldsOf(project.profiles).profile) ? (fieldsOf(project.profiles).profile as unknown[]).map(fieldsOf) : []
  const entries = [project, ...profiles].flatMap(dependenciesIn)
  const declared = entries.map((entry): Declared => {
    const name = coordinates(entry, properties)
    const range = filled(textOf(entry.version) ?? textOf(managed.get(name)) ?? '', properties)
    return { name, range, dev: entry.scope === 'test', source: entry.scope === 'system' ? 'file' : 'registry' }
  })
  const packages = declared.map(({ name, range, dev, source }): Locked => {
    const isExact = range !== '' && !/[[(,${]|^(LATEST|RELEASE)$/.test(range)
    return { name, version: isExact ? range : null, direct: true, dev, integrity: false, source }
  })
  return { manifest: { ecosystem: 'maven', declared, needsLockFile: false }, packages }
}

function dependenciesIn(element: Fields): Fields[] {
  const list = fieldsOf(element.dependencies).dependency
  return Array.isArray(list) ? list.map(fieldsOf) : []
}

function coordinates(entry: Fields, properties: Fields): string {
  return `${filled(textOf(entry.groupId) ?? '', properties)}:${filled(textOf(entry.artifactId) ?? '', properties)}`
}

/** `${name}` replaced by its property, which may name another; what stays unknown stays as written. */
function filled(text: string, properties: Fields): string {
  let result = text
  for (let depth = 0; depth < 5 && result.includes('${'); depth++) {
    result = result.replace(/\$\{([^}]+)\}/g, (whole, name: string) => textOf(properties[name]) ?? whole)
  }
  return result
}

/** gradle.lockfile: `group:artifact:version=configuration,…` */
export function readGradleLock(text: string): LockFile {
  const packages = text.split(/\r?\n/).flatMap((line): Locked[] => {
    const match = /^([^#:=\s]+):([^:=\s]+):([^=\s]+)=(.*)$/.exec(line)
    if (!match) return []
    const dev = (match[4] ?? '').split(',').every((configuration) => /test/i.test(configuration))
    return [{ name: `${match[1]}:${match[2]}`, version: match[3] ?? null, direct: false, dev, integrity: false, source: 'registry' }]
  })
  if (packages.length === 0 && !/^empty=/m.test(text)) throw new Error('It has no line of the form group:artifact:version=configurations')
  return { ecosystem: 'maven', format: 'gradle.lockfile', packages, holdsDigests: false }
}
