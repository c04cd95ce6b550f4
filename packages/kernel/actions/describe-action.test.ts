import { mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { operation } from '@soma/contracts/operation'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { describeAction } from './describe-action.ts'

let folder: string
let workspace: string
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'soma-describe-')))
  workspace = join(folder, 'space')
  await mkdir(join(workspace, 'src'), { recursive: true })
  await mkdir(join(folder, 'space-beside'))
  await symlink(join(folder, 'space-beside'), join(workspace, 'link-out'))
  await symlink(workspace, join(folder, 'link-in'))
})
afterAll(() => rm(folder, { recursive: true }))

const target = operation({
  name: 'demo.write',
  summary: 'Write',
  input: z.record(z.string(), z.unknown()),
  output: z.unknown(),
  effect: 'write',
  capability: 'tool.demo.write',
  idempotency: { kind: 'none' },
  resource: (input) => input,
  run: async () => undefined,
})
const describe = (input: Record<string, unknown>, space = workspace) =>
  describeAction(target, input, space, { isException: (host, port) => host === 'opened.example' && port === 443 })

test('an action is what its operation declares, with its input', async () => {
  expect(await describe({ kind: 'file' })).toEqual({
    name: 'tool.demo.write',
    capability: 'tool.demo.write',
    effect: 'write',
    resource: { kind: 'file' },
    arguments: { kind: 'file' },
  })
})

test('a path is in the workspace when it leads there, whatever it looks like', async () => {
  const places: [string, boolean][] = [
    ['.', true],
    ['src', true],
    ['not/there/yet', true],
    ['src/../..', false],
    ['..', false],
    ['../space-beside', false],
    ['..looks-like-up', true],
    ['link-out', false],
    ['link-out/new', false],
    [join(workspace, 'src'), true],
    [join(folder, 'link-in', 'src'), true],
    [`${workspace}-beside`, false],
    ['/etc', false],
  ]
  for (const [path, isInside] of places) expect((await describe({ path })).resource.inside_workspace, path).toBe(isInside)
  expect((await describe({ path: '/etc' }, '')).resource.inside_workspace).toBe(false)
})

test('what the caller says of its place or of its address counts for nothing', async () => {
  const { resource } = await describe({ path: '/etc', inside_workspace: true, host: 'other.example', port: 443, egress_allowed: true })
  expect(resource).toMatchObject({ inside_workspace: false, egress_allowed: false })
  expect((await describe({ host: 'opened.example', port: 443 })).resource.egress_allowed).toBe(true)
})
