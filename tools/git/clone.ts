import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { type OperationContext, operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { git, openRepository } from '../frame/git.ts'
import { hardenedGit } from '../frame/hardenedGit.ts'
import { keyDigest } from '../frame/keyDigest.ts'
import { processFailed, runProcess } from '../frame/process.ts'
import { branchRef } from './refs.ts'
import { openRelay } from './relay.ts'

const Source = z
  .string()
  .refine(
    (source) => isAbsolute(source) || isAddress(source),
    'Give an https address without a password, or the absolute path of a repository.',
  )

function isAddress(source: string): boolean {
  if (!URL.canParse(source)) return false
  const { protocol, username, password } = new URL(source)
  return /^https?:$/.test(protocol) && username === '' && password === ''
}

const Cloned = z.object({
  path: z.string().describe('Absolute path of the clone'),
  head: z.string().optional().describe('Id of the commit that is checked out; absent when the source is empty'),
})

const Input = z.object({
  source: Source.describe('https address, or absolute path of a repository'),
  folder: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/, 'A folder is 1 to 100 letters, digits, ".", "_" or "-", not beginning with "." or "-".')
    .describe("Folder to make in the run's workspace"),
  branch: z.string().min(1).max(255).optional().describe('Branch to check out. Default: the one the source names'),
  depth: z.number().int().min(1).optional().describe('Only so many commits back. Default: the whole history'),
})
type Input = z.infer<typeof Input>

export const clone = operation({
  name: 'git.clone',
  summary: 'Copy a repository into the workspace',
  description: 'Submodules and large-file (LFS) contents are not fetched, and nothing the repository brings is run.',
  input: Input,
  output: Cloned,
  effect: 'write',
  capability: 'tool.git.write',
  idempotency: { kind: 'marker', find: findClone },
  reversedBy: 'files.delete',
  timeoutSeconds: 900,
  canBeEnded: true,
  resource: ({ source, folder }) => ({
    kind: 'repository',
    source,
    ...(URL.canParse(source) && { host: new URL(source).hostname }),
    folder,
    inside_workspace: true,
    created_by_project: true,
  }),
  untrustedOutput: true,
  async run(input, context) {
    const workspace = await realpath(context.workspace)
    const target = join(workspace, input.folder)
    // Made beside its place and moved there when whole, so that what is there is whole.
    const unfinished = join(workspace, `.cloning-${randomBytes(6).toString('hex')}`)
    try {
      await (isAbsolute(input.source) ? cloneFolder(input, unfinished, context) : cloneAddress(input, unfinished, context))
      await moveInto(unfinished, target)
    } finally {
      await rm(unfinished, { recursive: true, force: true })
    }
    const { root, head } = await openRepository(target, context.signal)
    return { path: root, head }
  },
})

type Context = OperationContext<unknown>

async function cloneFolder(input: Input, target: string, context: Context): Promise<void> {
  const { root, gitDirectory } = await openRepository(input.source, context.signal)
  const folder = await mkdtemp(join(tmpdir(), 'soma-clone-'))
  try {
    // The source's own process asks whether the folder is trusted, and takes that from a configuration file only.
    const trust = join(folder, 'config')
    await writeFile(trust, `[safe]\n${[root, gitDirectory].map((trusted) => `\tdirectory = ${JSON.stringify(trusted)}\n`).join('')}`)
    await runClone(input, `file://${root}`, target, context, { GIT_CONFIG_GLOBAL: trust, GIT_ALLOW_PROTOCOL: 'file' })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function cloneAddress(input: Input, target: string, context: Context): Promise<void> {
  const relay = await openRelay(input.source, context.fetch, context.signal)
  try {
    await runClone(input, relay.address, target, context, { GIT_ALLOW_PROTOCOL: 'http' })
  } catch (error) {
    throw relay.refusal() ?? error
  } finally {
    await relay.close()
  }
  const repository = await openRepository(target, context.signal)
  await git(repository, ['config', 'remote.origin.url', input.source])
}

async function runClone(input: Input, from: string, target: string, context: Context, env: Record<string, string>): Promise<void> {
  const args = ['clone', '--quiet', '--no-recurse-submodules', '--template=', '-c', `soma.key=${keyDigest(context.key)}`]
  if (input.branch !== undefined) args.push(`--branch=${input.branch}`)
  if (input.depth !== undefined) args.push(`--depth=${input.depth}`, '--no-single-branch')
  await mkdir(target)
  const hardened = hardenedGit(target, [...args, '--', from, '.'], env)
  const result = await runProcess('git', hardened.args, { env: hardened.env, signal: context.signal })
  if (result.exitCode === 0) return
  if (input.branch !== undefined && result.stderr.includes('not found in upstream')) {
    throw new SomaError('not_found', `"${input.source}" has no branch "${input.branch}".`, {
      source: input.source,
      ref: branchRef(input.branch),
    })
  }
  throw processFailed('git', ['clone', input.source], result)
}

async function moveInto(unfinished: string, target: string): Promise<void> {
  try {
    await rename(unfinished, target)
  } catch (cause) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause
    throw new SomaError('conflict', `"${target}" exists already. Choose another folder.`, { target }, { cause })
  }
}

async function findClone(input: Input, context: Context): Promise<z.infer<typeof Cloned> | undefined> {
  const path = join(await realpath(context.workspace), input.folder)
  const repository = await openRepository(path, context.signal).catch((error: unknown) => {
    if (SomaError.is(error, 'not_a_repository')) return undefined
    throw error
  })
  if (!repository) return undefined
  const { stdout } = await git(repository, ['config', '--local', '--get', 'soma.key'], { accept: [0, 1] })
  return stdout.toString('utf8').trim() === keyDigest(context.key) ? { path: repository.root, head: repository.head } : undefined
}
