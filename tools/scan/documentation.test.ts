import { describe, expect, it } from 'vitest'
import { commitFiles, contextFor, emptyRepository } from '../frame/testing.ts'
import { documentation } from './documentation.ts'

async function scanFiles(files: Record<string, string | Uint8Array>, more = {}) {
  const repository = await emptyRepository()
  await commitFiles(repository, files)
  const report = await documentation.run(documentation.input.parse({ repository, ...more }), contextFor('/'))
  expect(documentation.output.parse(report)).toEqual(report)
  return report
}

const places = (report: Awaited<ReturnType<typeof scanFiles>>, rule: string) =>
  report.findings.filter((finding) => finding.rule === `documentation.${rule}`).map(({ path, line }) => [path, line])

describe('scan.documentation', () => {
  it('checks relative links and anchors against the tree', async () => {
    const report = await scanFiles({
      'README.md': [
        '# Own *tool*',
        '',
        '[ok](docs/guide.md#how-it-works) [folder](docs) [self](#own-tool) [absolute](/docs/guide.md) [forge](../../issues)',
        '[gone](docs/gone.md)',
        '[anchor](docs/guide.md#nowhere) <a href="missing.txt">x</a>',
        '[ref]: <docs/with space.md>',
        '',
        '[ref] ![](pic.png) ![shown](pic.png) <img src="pic.png">',
        '',
        '`[code](not-a-link.md)` [mail](mailto:a@example.org) [web](http://example.org/a) [web](https://example.org/b)',
        '',
        '## Twice',
        '## Twice',
        '[second](#twice-1) [third](#twice-2) [line](docs/guide.md#L3)',
      ].join('\n'),
      'docs/guide.md': '# Guide\n\n## How it works\n\n[up](../README.md)\n',
      'docs/with space.md': '# x\n',
      'pic.png': Buffer.from([1]),
    })
    expect(places(report, 'broken-link')).toEqual([
      ['README.md', 4],
      ['README.md', 5],
    ])
    expect(places(report, 'broken-anchor')).toEqual([
      ['README.md', 5],
      ['README.md', 14],
    ])
    expect(report.links).toMatchObject({ broken: 4, external: 2, insecure: 1, hosts: [{ host: 'example.org', links: 2 }] })
    expect(report.images).toEqual({ total: 3, withoutAlt: 2 })
  })

  it('says what the README holds and which documents are missing', async () => {
    const report = await scanFiles({
      'readme.md': `# Tool\n\n${'word '.repeat(100)}\n\n## Installation\n\n\`\`\`\nnpm i\n\`\`\`\n\n## Usage\n\n## Licence\n`,
      'LICENSE.txt': 'MIT',
      '.github/SECURITY.md': '# Security',
      'CHANGELOG.md': '# Changes',
    })
    expect(report.readme).toMatchObject({
      path: 'readme.md',
      title: 'Tool',
      sections: ['Installation', 'Usage', 'Licence'],
      codeBlocks: 1,
      hasInstall: true,
      hasUsage: true,
      hasLicence: true,
    })
    expect(report.community).toMatchObject({
      licence: 'LICENSE.txt',
      security: '.github/SECURITY.md',
      changelog: 'CHANGELOG.md',
      contributing: null,
    })
    expect(report.findings.map(({ rule }) => rule)).toEqual(['documentation.no-contributing', 'documentation.no-code-of-conduct'])
    const bare = await scanFiles({ 'a.txt': 'a' })
    expect(bare.readme).toBeNull()
    expect(bare.findings.filter(({ severity }) => severity === 'high').map(({ path }) => path)).toEqual(['LICENSE', 'README.md'])
  })

  it('reads an empty repository, and keeps to its limits', async () => {
    const repository = await emptyRepository()
    expect(await documentation.run(documentation.input.parse({ repository }), contextFor('/'))).toMatchObject({
      commit: null,
      findings: [],
      readme: null,
    })
    const report = await scanFiles({ 'README.md': '[a](b) [c](d) [e](https://x.org) [f](https://y.org)' }, { limit: 1 })
    expect(report).toMatchObject({ truncated: true, links: { broken: 2, externalTruncated: true } })
    expect(report.findings).toHaveLength(1)
  })
})
