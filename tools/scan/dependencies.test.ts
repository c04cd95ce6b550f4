import { describe, expect, it } from 'vitest'
import { commitFiles, contextFor, emptyRepository } from '../frame/testing.ts'
import { dependencies } from './dependencies.ts'

const scan = (repository: string, more = {}) => dependencies.run(dependencies.input.parse({ repository, ...more }), contextFor('/'))

async function scanFiles(files: Record<string, string>, more = {}) {
  const repository = await emptyRepository()
  await commitFiles(repository, files)
  const report = await scan(repository, more)
  expect(dependencies.output.parse(report)).toEqual(report)
  return report
}

const manifest = (dependencies: object, devDependencies = {}) => JSON.stringify({ name: 'own', dependencies, devDependencies })

/** What each lock file below says: one package needed, one that it needs, one of development. */
const TREE = [
  ['deep', '2.0.0', false, false],
  ['dev-tool', '3.0.0', true, true],
  ['needed', '1.0.0', true, false],
]

const npmFiles: [string, Record<string, string>][] = [
  [
    'package-lock v3',
    {
      'package-lock.json': JSON.stringify({
        lockfileVersion: 3,
        packages: {
          '': { dependencies: { needed: '^1.0.0' }, devDependencies: { 'dev-tool': '^3.0.0' } },
          'node_modules/needed': {
            version: '1.0.0',
            resolved: 'https://registry.example.org/needed/-/needed-1.0.0.tgz',
            integrity: 'sha512-a',
            license: 'MIT',
          },
          'node_modules/deep': { version: '2.0.0', resolved: 'https://registry.example.org/deep/-/deep-2.0.0.tgz', integrity: 'sha512-b' },
          'node_modules/dev-tool': {
            version: '3.0.0',
            resolved: 'https://registry.example.org/d/-/d-3.0.0.tgz',
            integrity: 'sha512-c',
            dev: true,
          },
        },
      }),
    },
  ],
  [
    'package-lock v1',
    {
      'package-lock.json': JSON.stringify({
        lockfileVersion: 1,
        dependencies: {
          needed: { version: '1.0.0', integrity: 'sha512-a', dependencies: { deep: { version: '2.0.0', integrity: 'sha512-b' } } },
          'dev-tool': { version: '3.0.0', integrity: 'sha512-c', dev: true },
        },
      }),
    },
  ],
  [
    'yarn v1',
    {
      'yarn.lock':
        '# yarn lockfile v1\n\n\nneeded@^1.0.0:\n  version "1.0.0"\n  resolved "https://registry.example.org/needed/-/needed-1.0.0.tgz#aa"\n  integrity sha512-a\n  dependencies:\n    deep "^2.0.0"\n\n' +
        'deep@^2.0.0:\n  version "2.0.0"\n  resolved "https://registry.example.org/deep/-/deep-2.0.0.tgz#bb"\n  integrity sha512-b\n\n' +
        'dev-tool@^3.0.0:\n  version "3.0.0"\n  resolved "https://registry.example.org/d/-/d-3.0.0.tgz#cc"\n  integrity sha512-c\n',
    },
  ],
  [
    'yarn berry',
    {
      'yarn.lock':
        '__metadata:\n  version: 8\n\n"own@workspace:.":\n  version: 0.0.0-use.local\n  resolution: "own@workspace:."\n  linkType: soft\n\n' +
        '"needed@npm:^1.0.0":\n  version: 1.0.0\n  resolution: "needed@npm:1.0.0"\n  dependencies:\n    deep: "npm:^2.0.0"\n  checksum: a\n  linkType: hard\n\n' +
        '"deep@npm:^2.0.0":\n  version: 2.0.0\n  resolution: "deep@npm:2.0.0"\n  checksum: b\n  linkType: hard\n\n' +
        '"dev-tool@npm:^3.0.0":\n  version: 3.0.0\n  resolution: "dev-tool@npm:3.0.0"\n  checksum: c\n  linkType: hard\n',
    },
  ],
  [
    'pnpm v9.0',
    {
      'pnpm-lock.yaml':
        "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      needed: { specifier: ^1.0.0, version: 1.0.0 }\n    devDependencies:\n      dev-tool: { specifier: ^3.0.0, version: 3.0.0 }\n" +
        'packages:\n  needed@1.0.0: { resolution: { integrity: sha512-a } }\n  deep@2.0.0: { resolution: { integrity: sha512-b } }\n  dev-tool@3.0.0: { resolution: { integrity: sha512-c } }\n' +
        'snapshots:\n  needed@1.0.0: { dependencies: { deep: 2.0.0 } }\n  deep@2.0.0: {}\n  dev-tool@3.0.0: {}\n',
    },
  ],
]

describe('scan.dependencies', () => {
  it.each(npmFiles)('reads %s', async (format, files) => {
    const report = await scanFiles({ ...files, 'package.json': manifest({ needed: '^1.0.0' }, { 'dev-tool': '^3.0.0' }) })
    expect(report.dependencies.map(({ name, version, direct, dev }) => [name, version, direct, dev])).toEqual(TREE)
    expect(report.lockFiles).toMatchObject([{ format, readable: true, dependencies: 3, direct: 2, dev: 1, withoutIntegrity: 0 }])
    expect(report.problems).toEqual([])
    expect(report.manifests).toMatchObject([{ path: 'package.json', declared: 2, lockFile: report.lockFiles[0]?.path }])
  })

  it('reads the lock files of other languages', async () => {
    const report = await scanFiles({
      'go/go.mod': 'module example.org/own\n\ngo 1.22\n\nrequire (\n\texample.org/a/b v1.2.0\n\texample.org/c v0.1.0 // indirect\n)\n',
      'go/go.sum': 'example.org/a/b v1.2.0 h1:x=\nexample.org/a/b v1.2.0/go.mod h1:y=\n',
      'rust/Cargo.toml': '[dependencies]\nserde = "1"\n',
      'rust/Cargo.lock':
        'version = 3\n[[package]]\nname = "own"\nversion = "0.1.0"\ndependencies = ["serde"]\n[[package]]\nname = "serde"\nversion = "1.0.1"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\nchecksum = "aa"\n',
      'java/pom.xml':
        '<project><properties><v>1.5</v></properties><dependencies><dependency><groupId>org.a</groupId><artifactId>b</artifactId><version>${v}</version></dependency><dependency><groupId>org.t</groupId><artifactId>t</artifactId><version>2-SNAPSHOT</version><scope>test</scope></dependency></dependencies></project>',
      'gradle/gradle.lockfile': '# comment\norg.g:h:3.1=runtimeClasspath\norg.j:unit:5=testRuntimeClasspath\nempty=\n',
      'ruby/Gemfile': "source 'https://rubygems.org'\ngem 'rack'\n",
      'ruby/Gemfile.lock':
        'GEM\n  remote: https://rubygems.org/\n  specs:\n    rack (3.0.0)\n      webrick (~> 1)\n    webrick (1.8.1)\n\nDEPENDENCIES\n  rack\n',
      'php/composer.json': '{"require":{"php":">=8","a/b":"^1"}}',
      'php/composer.lock':
        '{"packages":[{"name":"a/b","version":"1.0.0","license":["MIT"],"dist":{"type":"zip","reference":"abc","shasum":""}}],"packages-dev":[]}',
      'poetry/pyproject.toml': '[tool.poetry.dependencies]\npython = "^3.12"\nFlask = "^3"\n',
      'poetry/poetry.lock':
        '[[package]]\nname = "flask"\nversion = "3.0.0"\ngroups = ["main"]\nfiles = [{file = "f", hash = "sha256:a"}]\n',
      'uv/pyproject.toml': '[project]\nname = "own"\ndependencies = ["httpx>=0.27"]\n[dependency-groups]\ndev = ["pytest"]\n',
      'uv/uv.lock':
        'version = 1\n[[package]]\nname = "own"\nversion = "0"\nsource = { virtual = "." }\ndependencies = [{ name = "httpx" }]\n[package.dev-dependencies]\ndev = [{ name = "pytest" }]\n[[package]]\nname = "httpx"\nversion = "0.27.0"\nsource = { registry = "https://packages.example.org/simple" }\nsdist = { url = "u", hash = "sha256:a" }\n[[package]]\nname = "pytest"\nversion = "8.0.0"\nsource = { registry = "https://packages.example.org/simple" }\nwheels = [{ hash = "sha256:b" }]\n',
      'pipenv/Pipfile': '[packages]\ndjango = "*"\n',
      'pipenv/Pipfile.lock': '{"default":{"django":{"version":"==5.0","hashes":["sha256:a"]}},"develop":{}}',
      'pip/requirements.txt': '# pinned\nDjango_Rest==3.15 \\\n  --hash=sha256:aa\n-r other.txt\n',
    })
    const found = report.dependencies.map(({ purl, direct, dev, integrity }) => [purl, direct, dev, integrity])
    expect(found).toEqual(
      expect.arrayContaining([
        ['pkg:golang/example.org/a/b@v1.2.0', true, false, true],
        ['pkg:golang/example.org/c@v0.1.0', false, false, false],
        ['pkg:cargo/serde@1.0.1', true, false, true],
        ['pkg:maven/org.a/b@1.5', true, false, false],
        ['pkg:maven/org.g/h@3.1', false, false, false],
        ['pkg:maven/org.j/unit@5', false, true, false],
        ['pkg:gem/rack@3.0.0', true, false, false],
        ['pkg:gem/webrick@1.8.1', false, false, false],
        ['pkg:composer/a/b@1.0.0', true, false, true],
        ['pkg:pypi/flask@3.0.0', true, false, true],
        ['pkg:pypi/httpx@0.27.0', true, false, true],
        ['pkg:pypi/pytest@8.0.0', true, true, true],
        ['pkg:pypi/django@5.0', true, false, true],
        ['pkg:pypi/django-rest@3.15', true, false, true],
      ]),
    )
    expect(report.problems.map(({ rule, path }) => `${rule} ${path}`)).toEqual([
      'dependencies.missing-integrity go/go.mod',
      'dependencies.snapshot java/pom.xml',
      'dependencies.any-version pipenv/Pipfile',
      'dependencies.any-version uv/pyproject.toml',
    ])
  })

  it('names what is wrong: no lock file, open ranges, odd sources, no digest, several versions', async () => {
    const report = await scanFiles({
      'a/package.json': manifest({ loose: '^1.0.0', open: '*' }),
      'b/package.json': manifest({ x: '1.0.0' }),
      'b/package-lock.json': JSON.stringify({
        lockfileVersion: 3,
        packages: {
          '': { dependencies: { x: '1' } },
          'node_modules/x': { version: '1.0.0', resolved: 'http://registry.example.org/x/-/x-1.0.0.tgz' },
          'node_modules/y': { version: '1.0.0', resolved: 'git+ssh://git@github.com/o/y.git#0123456789012345678901234567890123456789' },
          'node_modules/x/node_modules/y': {
            version: '2.0.0',
            resolved: ['https://user', 'pass@files.example.org/y.tgz'].join(':'),
            integrity: 'sha512-a',
          },
        },
      }),
    })
    expect(report.problems.map(({ rule, severity }) => [rule, severity])).toEqual([
      ['dependencies.insecure-source', 'high'],
      ['dependencies.any-version', 'medium'],
      ['dependencies.no-lock-file', 'medium'],
      ['dependencies.missing-integrity', 'medium'],
      ['dependencies.unpinned', 'low'],
      ['dependencies.git-source', 'low'],
      ['dependencies.url-source', 'low'],
      ['dependencies.several-versions', 'info'],
    ])
    expect(JSON.stringify(report)).not.toContain('user:pass')
  })

  it('reports files that do not parse with their path, and goes on', async () => {
    const report = await scanFiles({
      'package-lock.json': '{ not json',
      'x/Cargo.lock': '[[package',
      'x/pom.xml': '<project>',
      'x/go.mod': 'what',
      'x/pnpm-lock.yaml': 'a: [',
      'x/yarn.lock': '!!! : ???',
      'ok/composer.lock': '{"packages":[]}',
    })
    const unreadable = report.problems.filter(({ rule }) => rule === 'dependencies.unreadable').map(({ path }) => path)
    expect(unreadable).toEqual(['package-lock.json', 'x/Cargo.lock', 'x/go.mod', 'x/pnpm-lock.yaml', 'x/pom.xml', 'x/yarn.lock'])
    expect(report.lockFiles.filter(({ readable }) => readable).map(({ path }) => path)).toEqual(['ok/composer.lock'])
  })

  it('lists at most what is asked for and says so, and leaves vendored and fixture files alone', async () => {
    const lock = npmFiles[0]?.[1]['package-lock.json'] ?? ''
    const report = await scanFiles(
      { 'package-lock.json': lock, 'node_modules/z/package.json': manifest({ q: '1' }), 'fixtures/package.json': manifest({ q: '1' }) },
      { limit: 1 },
    )
    expect(report).toMatchObject({ truncated: true, totals: { dependencies: 3 }, manifests: [] })
    expect(report.dependencies).toHaveLength(1)
    expect(await scan(await emptyRepository())).toMatchObject({ commit: null, dependencies: [], problems: [] })
  })
})
