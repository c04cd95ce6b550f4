import { describe, expect, it } from 'vitest'
import { commitFiles, contextFor, emptyRepository, fastImport, plainGit } from '../frame/testing.ts'
import { findSecrets } from './secretRules.ts'
import { secrets } from './secrets.ts'

const scan = (repository: string, more = {}) => secrets.run(secrets.input.parse({ repository, ...more }), contextFor('/'))

/** Built piece by piece, so that no scan of this file finds what is no secret. */
const letters = (count: number) => 'aB3dE6gH9kLmN0pQ2sTuV5xYz1'.repeat(Math.ceil(count / 26)).slice(0, count)
const github = `gh${'p_'}${letters(36)}`
const pem = (body: string) => `${'-----BEGIN RSA PRIVATE'} KEY-----\n${body}\n${'-----END RSA PRIVATE'} KEY-----\n`

describe('scan.secrets', () => {
  it('finds a secret, says where, and never gives it out', async () => {
    const repository = await emptyRepository()
    await commitFiles(repository, { 'config.ts': `const a = 1\nconst token = "${github}"\n`, 'clean.ts': 'export {}\n' })
    const report = await scan(repository)
    expect(report.findings).toMatchObject([
      {
        rule: 'github',
        severity: 'critical',
        path: 'config.ts',
        line: 2,
        atHead: true,
        firstCommit: null,
        masked: 'ghp_… (40 characters)',
      },
    ])
    expect(JSON.stringify(report)).not.toContain(github)
    expect(report.coverage).toMatchObject({ history: false, complete: true, scanned: 2, suspicious: 1 })
    expect(secrets.output.parse(report)).toEqual(report)
  })

  it('finds in history what was removed, the commit that brought it in, and each secret once', async () => {
    const repository = await emptyRepository()
    await commitFiles(repository, { 'a.txt': 'nothing\n' })
    const brought = await commitFiles(repository, { 'a.txt': `${github}\n` }, { date: '2024-02-01T12:00:00Z' })
    await commitFiles(repository, { 'a.txt': `more\n${github}\n` }, { date: '2024-03-01T12:00:00Z' })
    await commitFiles(repository, { 'a.txt': 'gone\n' }, { date: '2024-04-01T12:00:00Z' })
    await plainGit(repository, ['checkout', '-q', '-b', 'side'])
    const other = await commitFiles(repository, { 'key.pem': pem(`MI${letters(198)}`) }, { date: '2024-05-01T12:00:00Z' })
    await plainGit(repository, ['checkout', '-q', 'main'])
    const report = await scan(repository, { history: true })
    expect(report.findings).toMatchObject([
      {
        rule: 'github',
        severity: 'high',
        atHead: false,
        firstCommit: brought,
        firstAt: '2024-02-01T12:00:00+00:00',
        places: 2,
        path: 'a.txt',
      },
      { rule: 'privatekey', severity: 'high', atHead: false, firstCommit: other },
    ])
    expect(report.totals).toEqual({ secrets: 2, atHead: 0, onlyInHistory: 2 })
    expect(report.coverage).toMatchObject({ complete: true, stoppedBy: 'end', commits: { total: 5, covered: 5 }, blobs: 5 })
  })

  it('tells when what is there now came in', async () => {
    const repository = await emptyRepository()
    const brought = await commitFiles(repository, { 'a.txt': `${github}\n` })
    await commitFiles(repository, { 'b.txt': 'later\n' })
    const report = await scan(repository, { history: true })
    expect(report.findings).toMatchObject([{ severity: 'critical', atHead: true, firstCommit: brought, places: 1 }])
  })

  it('counts what it skips, and stops history when the time is over', async () => {
    const repository = await emptyRepository()
    await commitFiles(repository, { 'old.txt': `${github}\n` })
    await plainGit(repository, ['rm', '-q', 'old.txt'])
    await commitFiles(repository, {
      'image.png': Buffer.from(`\0${github}`),
      'large.txt': 'x'.repeat(2_000),
      'go.sum': 'm v1 h1:x=\n',
      'a.txt': 'a\n',
    })
    const report = await scan(repository, { history: true, maxBytes: 1_000, limitSeconds: 0.000_001 })
    expect(report.coverage).toMatchObject({
      complete: false,
      stoppedBy: 'limitSeconds',
      skipped: { binary: 1, tooLarge: 1, byPath: 1, missing: 0 },
    })
    expect(report.coverage.commits.covered).toBeLessThan(2)
  })

  it('reads an empty repository and a shallow clone', async () => {
    expect(await scan(await emptyRepository(), { history: true })).toMatchObject({ commit: null, findings: [], coverage: { blobs: 0 } })
    const source = await emptyRepository()
    await commitFiles(source, { 'a.txt': `${github}\n` })
    await commitFiles(source, { 'a.txt': 'gone\n' })
    const clone = `${await emptyRepository()}/clone`
    await plainGit(source, ['clone', '-q', '--depth=1', `file://${source}`, clone])
    expect(await scan(clone, { history: true })).toMatchObject({ findings: [], coverage: { shallow: true, complete: true, blobs: 1 } })
  })

  it('goes through thousands of commits', async () => {
    const repository = await emptyRepository()
    function* history() {
      for (let number = 0; number < 3_000; number++) {
        const text = number === 1_500 ? `token ${github}\n` : `line ${number}\n`
        yield `commit refs/heads/main\ncommitter A <a@example.org> ${1_600_000_000 + number} +0000\ndata 1\nx\n`
        yield `M 100644 inline f${number % 7}.txt\ndata ${text.length}\n${text}\n`
      }
    }
    await fastImport(repository, history())
    const report = await scan(repository, { history: true })
    expect(report.totals).toEqual({ secrets: 1, atHead: 0, onlyInHistory: 1 })
    expect(report.coverage).toMatchObject({ commits: { total: 3_000, covered: 3_000 }, scanned: 3_000, suspicious: 1 })
  })
})

describe('the prefilter lets through what the rules find', () => {
  const user = `user:${letters(14)}`
  const samples: [string, string][] = [
    ['github', `gh${'o_'}${letters(36)}`],
    ['github', `github${'_pat_'}${letters(82)}`],
    ['gitlab', `gl${'pat-'}${letters(20)}`],
    ['aws', `aws_secret_${'access_key'} = ${letters(40)} `],
    ['npm', `//registry.example.org/:_auth${'Token='}${letters(36)}`],
    ['npm', `np${'m_'}${letters(36)}`],
    ['slack', `xox${'b-'}123456789012-${letters(24)}`],
    ['slack', `https://hooks.${'slack.com'}/services/T${letters(8)}/B${letters(8)}/${letters(24)}`],
    ['basicauth', `https:${'//'}${user}@example.org`],
    ['database-connection-string', `postgres:${'//'}${user}@db.example.org/main`],
    ['database-connection-string', `mongodb+srv:${'//'}${user}@db.example.org/main`],
    ['sendgrid', `S${'G.'}${letters(22)}.${letters(43)}`],
    ['shopify', `shp${'at_'}${letters(32)}`],
    ['openai', `s${'k-'}${letters(20)}T3Blbk${'FJ'}${letters(20)}`],
    ['anthropic', `sk-${'ant-'}api03-${letters(93)}AA`],
    ['groq', `gs${'k_'}${letters(52)}`],
    ['huggingface', `h${'f_'}${'abcdefghijklmnopqrstuvwxyzABCDEFGH'}`],
    ['linear', `lin_${'api_'}${letters(40)}`],
    ['notion', `nt${'n_'}12345678901${letters(35)}`],
    ['grafana', `gl${'c_'}${letters(40)}`],
    ['vercel', `vc${'p_'}${letters(24)}`],
    ['databricks', `da${'pi'}${'0123456789abcdef'.repeat(2)}`],
    ['docker', `dckr_${'pat_'}${letters(27)}`],
    ['figma', `fig${'d_'}${letters(40)}`],
    ['hashicorp-vault', `hv${'s.'}${letters(95)}`],
    ['privatekey', pem(`MI${letters(198)}`)],
  ]
  it.each(samples)('%s (%#)', async (rule, text) => {
    const found = await findSecrets(Buffer.from(`first line\n${text}\n`), text.includes('_auth') ? '.npmrc' : 'file.txt')
    expect(found?.map((one) => one.rule)).toContain(rule)
    expect(JSON.stringify(found)).not.toContain(text)
  })

  it('does not speak up at placeholders', async () => {
    const text = `//registry/:_auth${'Token='}<your token>\nhttps:${'//'}user:\${PASSWORD}@example.org\n`
    expect(await findSecrets(Buffer.from(text), '.npmrc')).toEqual([])
    expect(await findSecrets(Buffer.from('const a = 1\n'), 'a.ts')).toBeUndefined()
  })
})
