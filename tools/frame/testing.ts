import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Adapter, OperationContext } from '@soma/contracts/operation'
import { onTestFinished } from 'vitest'
import { z } from 'zod'

/** A folder that is gone when the test is over. */
export async function temporaryFolder(): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'soma-test-')))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** What an operation is called with; keys and objects are real, in memory. */
export function contextFor(workspace: string, more: Partial<OperationContext<object>> = {}): OperationContext<object> {
  const objects = new Map<string, Uint8Array>()
  return {
    client: {},
    tenant: 'test',
    key: 'run-1/step-1',
    signal: new AbortController().signal,
    workspace,
    fetch,
    progress: () => {},
    objects: {
      async put(content, mediaType) {
        const digest = `sha256:${objects.size}`
        objects.set(digest, content)
        return { digest, size: content.length, mediaType }
      },
      async get(digest) {
        const content = objects.get(digest)
        if (!content) throw new Error(`no object ${digest}`)
        return content
      },
    },
    ...more,
  }
}

/** Git as a person runs it: it believes the repository's configuration, so it also proves that hostile ones would have worked. */
export async function plainGit(folder: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)('git', args, { cwd: folder, env: { ...PERSON, ...env }, maxBuffer: 64 * 1024 * 1024 })
  return stdout.trim()
}

const PERSON = {
  PATH: process.env.PATH ?? '',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
}

export async function emptyRepository(...options: string[]): Promise<string> {
  const folder = await temporaryFolder()
  await plainGit(folder, ['init', '--quiet', '--initial-branch=main', ...options])
  return folder
}

/** Commits files in the work tree; dates are ISO 8601. */
export async function commitFiles(
  repository: string,
  files: Record<string, string | Uint8Array>,
  { message = 'Change files', name = 'Ada', email = 'ada@example.org', date = '2024-01-01T12:00:00Z' } = {},
): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(repository, path)), { recursive: true })
    await writeFile(join(repository, path), content)
  }
  await plainGit(repository, ['add', '--all'])
  const env = { GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date }
  await plainGit(repository, ['commit', '--quiet', '--allow-empty', '-m', message], env)
  return plainGit(repository, ['rev-parse', 'HEAD'])
}

export async function fastImport(repository: string, stream: Iterable<string | Uint8Array>): Promise<void> {
  const child = spawn('git', ['fast-import', '--quiet'], { cwd: repository, env: PERSON, stdio: ['pipe', 'ignore', 'inherit'] })
  const exited = once(child, 'exit')
  for (const part of stream) if (!child.stdin.write(part)) await once(child.stdin, 'drain')
  child.stdin.end()
  const [code] = await exited
  if (code !== 0) throw new Error(`git fast-import ended with ${code}`)
}

/** A history of `commits` commits by `people` people over `files` files in ten folders, one an hour since 2015, two files each. */
export function* syntheticHistory(commits: number, { people = 40, files = 2_000 } = {}): Generator<string> {
  for (let number = 0; number < commits; number++) {
    const person = (number * 7) % people
    const who = `Person ${person} <person${person}@example.org> ${1_420_070_400 + number * 3_600} +0100`
    const message = `Change number ${number}`
    yield `commit refs/heads/main\nauthor ${who}\ncommitter ${who}\ndata ${message.length}\n${message}\n`
    for (const file of [(number * 13) % files, (number * 31) % files]) {
      const content = Array.from({ length: 30 }, (_, line) => `line ${line} of ${file}, ${line % 7 === number % 7 ? number : 0}\n`).join('')
      yield `M 100644 inline area${file % 10}/part${file % 50}/file${file}.ts\ndata ${content.length}\n${content}\n`
    }
  }
  yield 'done\n'
}

/** What is wrong with an adapter's declarations: names, capabilities, fields without a description. Nothing, in a sound one. */
export function faultsOf(adapter: Adapter): string[] {
  const endings = { read: 'read', write: 'write', destructive: 'destroy' } as const
  return adapter.operations.flatMap(({ name, input, output, effect, capability, idempotency }) => [
    ...(name.startsWith(`${adapter.name}.`) ? [] : [`${name} does not begin with ${adapter.name}`]),
    ...(capability === `tool.${adapter.name}.${endings[effect]}` ? [] : [`${name} needs ${capability}, which does not fit ${effect}`]),
    ...((effect === 'read') === (idempotency.kind === 'read') ? [] : [`${name} is ${effect} and settled by ${idempotency.kind}`]),
    ...undescribed(z.toJSONSchema(input, { io: 'input' }), `${name} input`),
    ...undescribed(z.toJSONSchema(output), `${name} output`),
  ])
}

type Schema = z.core.JSONSchema.BaseSchema

function undescribed(schema: Schema, where: string): string[] {
  const fields = Object.entries(schema.properties ?? {}).filter((entry): entry is [string, Schema] => typeof entry[1] === 'object')
  const inner = [schema.items, ...(schema.anyOf ?? [])].flat().filter((found): found is Schema => typeof found === 'object')
  return [
    ...fields.flatMap(([name, field]) => (field.description ? [] : [`${where}: ${name} has no description`])),
    ...fields.flatMap(([name, field]) => undescribed(field, `${where}.${name}`)),
    ...inner.flatMap((found) => undescribed(found, where)),
  ]
}
