import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Project } from '@soma/contracts/project'
import { expect, onTestFinished, test } from 'vitest'
import { startProject } from './testing.ts'

const PERSON = {
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
}

async function repositoryWith(files: Record<string, string>) {
  const path = await mkdtemp(join(tmpdir(), 'soma-health-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  const git = async (...args: string[]) => {
    const env = { ...process.env, ...PERSON, GIT_CONFIG_GLOBAL: '/dev/null' }
    return (await promisify(execFile)('git', args, { cwd: path, env })).stdout.trim()
  }
  await git('init', '--quiet', '--initial-branch=main')
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content)
  if (Object.keys(files).length > 0) {
    await git('add', '--all')
    await git('commit', '--quiet', '-m', 'Begin')
  }
  return { path, git }
}

const statuses = (project: Project) => Object.fromEntries(project.deliverables.map(({ id, status }) => [id, status]))
const READ_ONLY = [
  'inventory',
  'activity',
  'dependencies',
  'secrets',
  'documentation',
  'infrastructure',
  'ownership',
  'licences',
  'summary',
]
const all = (status: string, ids: string[]) => Object.fromEntries(ids.map((id) => [id, status]))
const WAITING = { 'prune-branches': 'blocked', publish: 'awaiting_approval' }
const FILES = {
  'README.md': '# Shop\n\n[gone](gone.md)\n',
  'shop.ts': 'export const open = true\n',
  '<script>alert(1)<script>.md': '[x](y.md)\n',
}

test('everything that reads is done, what destroys is blocked and what writes waits; once approved it is proposed on a branch of its own', async () => {
  const { path, git } = await repositoryWith(FILES)
  await git('branch', 'merged')
  const project = await startProject('repository-health', { repository: path, history_seconds: 5 })
  const waiting = await project.settled()
  expect(statuses(waiting)).toEqual({ ...all('done', READ_ONLY), ...WAITING })
  expect(waiting.review).toMatchObject({
    verdict: 'approved',
    compliance: 1,
    notes: [expect.stringContaining('destroyed'), expect.any(String)],
  })
  expect(await git('branch', '--format=%(refname:short)')).toBe('main\nmerged')
  const report = new TextDecoder().decode(project.objects.get(waiting.report?.html ?? ''))
  expect(report).toContain('&lt;script&gt;alert(1)&lt;script&gt;')
  expect(report).not.toContain('<script')

  project.say({ kind: 'approval', id: 'approval-publish', approved: true, by: 'user:test' })
  const proposed = await project.settled()
  expect(statuses(proposed)).toEqual({ ...all('done', [...READ_ONLY, 'publish']), 'prune-branches': 'blocked' })
  expect(await git('show', '--stat', '--format=%s', 'soma/repository-health')).toMatch(
    /^Report the health of the repository: [A-F], \d+ of 100\n\n HEALTH\.md/,
  )
  expect(await git('show', 'soma/repository-health:HEALTH.md')).toMatch(/^# Health of this repository/)
  expect(await git('status', '--porcelain')).toBe('')
  expect(await git('branch', '--show-current')).toBe('main')

  project.say({ kind: 'resolve', deliverable: 'prune-branches', resolution: 'drop', by: 'user:test' })
  const ended = await project.settled()
  expect(ended.status).toBe('done')
  expect(statuses(ended)['prune-branches']).toBe('rejected')
  expect(await git('branch', '--format=%(refname:short)')).toBe('main\nmerged\nsoma/repository-health')
})

test('a repository without commits has a report too', async () => {
  const { path } = await repositoryWith({})
  const project = await startProject('repository-health', { repository: path, history_seconds: 5 })
  const waiting = await project.settled()
  expect(statuses(waiting)).toEqual({ ...all('done', READ_ONLY), ...WAITING })
  expect(new TextDecoder().decode(project.objects.get(waiting.report?.html ?? ''))).toContain('The repository has no commits yet.')
})

test('what fails costs only its own area: the rest is made, ranked and reported', async () => {
  const { path } = await repositoryWith(FILES)
  const fails = ['git.activity', 'scan.dependencies', 'scan.secrets']
  const project = await startProject('repository-health', { repository: path, history_seconds: 5 }, { fails })
  const waiting = await project.settled()
  const failed = ['activity', 'dependencies', 'secrets']
  expect(statuses(waiting)).toEqual({ ...all('done', READ_ONLY), ...all('failed', failed), ...WAITING })
  expect(waiting.review?.verdict).toBe('needs_revision')
  const summary = project.facts().deliverables.find(({ id }) => id === 'summary')?.output as { notAssessed: { area: string }[] }
  expect(summary.notAssessed.map(({ area }) => area)).toEqual(expect.arrayContaining(['dependencies', 'secrets']))
  const report = new TextDecoder().decode(project.objects.get(waiting.report?.html ?? ''))
  expect(report).toContain('scan.secrets was made to fail.')
})

test('even when everything fails there is a report, which says so', async () => {
  const { path } = await repositoryWith(FILES)
  const fails = [
    'git.inspect',
    'git.activity',
    'git.ownership',
    'scan.dependencies',
    'scan.licences',
    'scan.secrets',
    'scan.documentation',
    'scan.infrastructure',
    'scan.rank',
  ]
  const project = await startProject('repository-health', { repository: path }, { fails })
  const waiting = await project.settled()
  expect(statuses(waiting)).toEqual({ ...all('failed', READ_ONLY), 'prune-branches': 'blocked', publish: 'awaiting_approval' })
  expect(waiting.review?.notes.filter((note) => note.includes('was made to fail'))).toHaveLength(READ_ONLY.length)
  expect(waiting.report?.html).toBeDefined()
})
