import { parseSyml } from '@yarnpkg/parsers'
import { parse as parseYaml } from 'yaml'
import { type Declared, type Locked, type LockFile, type Manifest, reachable, sourceOf } from './locked.ts'
import { entriesOf, type Fields, fieldsOf, parseObject, textOf } from './untyped.ts'

/** package-lock.json and npm-shrinkwrap.json, versions 1 to 3. */
export function readPackageLock(text: string): LockFile {
  const lock = parseObject(text)
  const packages = lock.packages === undefined ? packagesOfVersion1(lock.dependencies, true) : packagesOfVersion2(fieldsOf(lock.packages))
  return { ecosystem: 'npm', format: `package-lock v${textOf(lock.lockfileVersion) ?? '1'}`, packages, holdsDigests: true }
}

function packagesOfVersion1(dependencies: unknown, top: boolean): Locked[] {
  return entriesOf(dependencies).flatMap(([name, entry]) => [
    npmPackage(name, textOf(entry.version), textOf(entry.resolved) ?? textOf(entry.version), entry, top ? undefined : false),
    ...packagesOfVersion1(entry.dependencies, false),
  ])
}

function packagesOfVersion2(all: Fields): Locked[] {
  const own = entriesOf(all).filter(([key]) => !key.includes('node_modules/'))
  const declared = new Set(own.flatMap(([key, entry]) => namesDeclared(entry).map((name) => place(key, name))))
  const isDirect = (key: string, name: string) =>
    declared.has(key) ||
    own.some(([folder]) => key === `node_modules/${name}` && declared.has(place(folder, name)) && !(place(folder, name) in all))
  return entriesOf(all)
    .filter(([key, entry]) => key.includes('node_modules/') && entry.link !== true)
    .map(([key, entry]) => {
      const folder = key.slice(key.lastIndexOf('node_modules/') + 'node_modules/'.length)
      return npmPackage(textOf(entry.name) ?? folder, textOf(entry.version), textOf(entry.resolved), entry, isDirect(key, folder))
    })
}

function place(folder: string, name: string): string {
  return folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`
}

function namesDeclared(entry: Fields): string[] {
  return ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'].flatMap((field) =>
    Object.keys(fieldsOf(entry[field])),
  )
}

function npmPackage(name: string, version: string | undefined, address: string | undefined, entry: Fields, direct?: boolean): Locked {
  const isArchive = address !== undefined && /\/-\/[^/]+\.tgz(#|$)/.test(address)
  const source = isArchive ? 'registry' : sourceOf(address)
  return {
    name,
    version: version ?? null,
    direct,
    dev: entry.dev === true || entry.devOptional === true,
    licence: licenceOf(entry.license),
    // What a package brings along in its own archive is covered by that archive's digest.
    integrity: entry.integrity !== undefined || entry.inBundle === true || entry.bundled === true,
    source,
    address: source === 'registry' && !address?.startsWith('http:') ? undefined : address,
  }
}

function licenceOf(value: unknown): string | undefined {
  return textOf(value) ?? textOf(fieldsOf(value).type)
}

/** yarn.lock of yarn 1 and of berry. */
export function readYarnLock(text: string, manifests: Manifest[]): LockFile {
  const lock = parseSyml(text) as Fields
  const isBerry = lock.__metadata !== undefined
  const entries = entriesOf(lock).filter(([key]) => key !== '__metadata')
  const byDescriptor = new Map(entries.flatMap(([key, entry]) => key.split(/,\s*/).map((descriptor) => [descriptor, entry])))
  const find = (name: string, range: string): Fields[] => {
    const entry = byDescriptor.get(`${name}@${range}`) ?? byDescriptor.get(`${name}@npm:${range}`)
    return entry ? [entry] : []
  }
  const followers = (entry: Fields) =>
    Object.entries({ ...fieldsOf(entry.dependencies), ...fieldsOf(entry.optionalDependencies) }).flatMap(([name, range]) =>
      find(name, String(range)),
    )
  const declared = manifests.flatMap((manifest) => manifest.declared)
  const rootsOf = (list: Declared[]) => list.flatMap(({ name, range }) => find(name, range))
  const direct = new Set(rootsOf(declared))
  const production = reachable(rootsOf(declared.filter(({ dev }) => !dev)), followers)

  const packages = entries
    .filter(([key, entry]) => !/@(workspace|link|portal):/.test(textOf(entry.resolution) ?? key))
    .map(([key, entry]): Locked => {
      const descriptor = textOf(entry.resolution) ?? key.split(/,\s*/)[0] ?? key
      const at = descriptor.indexOf('@', 1)
      const reference = descriptor.slice(at + 1)
      const address = isBerry ? reference.replace(/^(npm|patch):.*/, '') : textOf(entry.resolved)
      return {
        ...npmPackage(at === -1 ? descriptor : descriptor.slice(0, at), textOf(entry.version), address, entry, direct.has(entry)),
        dev: declared.length > 0 && !production.has(entry),
        integrity: entry.integrity !== undefined || entry.checksum !== undefined,
      }
    })
  return { ecosystem: 'npm', format: isBerry ? 'yarn berry' : 'yarn v1', packages, holdsDigests: true }
}

/** pnpm-lock.yaml, versions 5 to 9. */
export function readPnpmLock(text: string): LockFile {
  const lock = fieldsOf(parseYaml(text))
  const version = textOf(lock.lockfileVersion)
  if (version === undefined) throw new Error('It has no lockfileVersion')
  const importers = lock.importers === undefined ? [lock] : Object.values(fieldsOf(lock.importers)).map(fieldsOf)
  const snapshots = fieldsOf(lock.snapshots ?? lock.packages)
  const rootsOf = (fields: string[]) => importers.flatMap((importer) => fields.flatMap((field) => pnpmKeys(importer[field], snapshots)))
  const followers = (key: string) => {
    const entry = fieldsOf(snapshots[key])
    return [...pnpmKeys(entry.dependencies, snapshots), ...pnpmKeys(entry.optionalDependencies, snapshots)]
  }
  const production = new Set([...reachable(rootsOf(['dependencies', 'optionalDependencies']), followers)].map(withoutPeers))
  const direct = new Set(rootsOf(['dependencies', 'devDependencies', 'optionalDependencies']).map(withoutPeers))

  const packages = entriesOf(lock.packages).map(([key, entry]): Locked => {
    const { name, version: locked } = pnpmName(key)
    const resolution = fieldsOf(entry.resolution)
    const address = textOf(resolution.repo) ?? textOf(resolution.tarball) ?? (resolution.directory === undefined ? undefined : 'file:')
    const source = resolution.type === 'git' ? 'git' : sourceOf(address)
    return {
      name: textOf(entry.name) ?? name,
      version: textOf(entry.version) ?? locked,
      direct: direct.has(withoutPeers(key)),
      dev: !production.has(withoutPeers(key)),
      integrity: resolution.integrity !== undefined,
      source: resolution.integrity !== undefined && source === 'url' ? 'registry' : source,
      address,
    }
  })
  return { ecosystem: 'npm', format: `pnpm v${version}`, packages, holdsDigests: true }
}

/** The keys under which the dependencies of an importer or a package are found: `/name/1.0.0`, `/name@1.0.0` or `name@1.0.0`. */
function pnpmKeys(dependencies: unknown, snapshots: Fields): string[] {
  return Object.entries(fieldsOf(dependencies)).flatMap(([name, value]) => {
    const reference = textOf(value) ?? textOf(fieldsOf(value).version) ?? ''
    return [reference, `${name}@${reference}`, `/${name}@${reference}`, `/${name}/${reference}`]
      .filter((key) => key in snapshots)
      .slice(0, 1)
  })
}

function withoutPeers(key: string): string {
  return key.replace(/\(.*$/, '').replace(/(\/[^/]+\/[^/_]+)_.*$/, '$1')
}

function pnpmName(key: string): { name: string; version: string | null } {
  const bare = withoutPeers(key).replace(/^\//, '')
  const match = /^((?:@[^/]+\/)?[^@/]+)[@/](.+)$/.exec(bare)
  return match ? { name: match[1] ?? bare, version: match[2] ?? null } : { name: bare, version: null }
}

/** The direct dependencies of a package.json. */
export function readPackageJson(text: string): Manifest {
  const manifest = parseObject(text)
  const declared = (['dependencies', 'optionalDependencies', 'devDependencies'] as const).flatMap((field) =>
    Object.entries(fieldsOf(manifest[field])).map(([name, range]): Declared => {
      const text = textOf(range) ?? ''
      const isShorthand = /^[\w.-]+\/[\w.-]+(#.*)?$/.test(text)
      return { name, range: text, dev: field === 'devDependencies', source: isShorthand ? 'git' : sourceOf(text) }
    }),
  )
  return { ecosystem: 'npm', declared, needsLockFile: true }
}
