/** Tests decision.rego, compiles it to WebAssembly and writes down what was made from what. Takes `opa` from the PATH or SOMA_OPA. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const POLICIES = fileURLToPath(new URL('.', import.meta.url))
const OPA = process.env.SOMA_OPA ?? 'opa'

const ENTRYPOINTS = ['soma/decision/decision', 'soma/decision/explanation']

export interface Lock {
  /** Version of OPA that compiled. */
  opa: string
  /** sha-256, hex. */
  rego: string
  /** The tests that passed before it was compiled. */
  test: string
  wasm: string
}

const digest = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex')

/** The version of `opa` on this machine, or undefined when there is none. */
export async function opaVersion(): Promise<string | undefined> {
  try {
    return /^Version: (\S+)/m.exec((await run(OPA, ['version'])).stdout)?.[1]
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Compiles decision.rego as it stands. The same version of OPA gives the same bytes. */
export async function compileRego(): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-policy-'))
  try {
    const bundle = join(folder, 'bundle.tar.gz')
    // The module holds the path it was given, so the path must be relative.
    await run(
      OPA,
      ['build', '--target', 'wasm', ...ENTRYPOINTS.flatMap((name) => ['--entrypoint', name]), '--output', bundle, 'decision.rego'],
      {
        cwd: POLICIES,
      },
    )
    await run('tar', ['-xzf', 'bundle.tar.gz', '/policy.wasm'], { cwd: folder })
    return await readFile(join(folder, 'policy.wasm'))
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Runs decision_test.rego. Rejects with what failed. */
export async function testRego(): Promise<void> {
  await run(OPA, ['test', 'decision.rego', 'decision_test.rego'], { cwd: POLICIES })
}

const digestOfFile = async (name: string) => digest(await readFile(join(POLICIES, name)))

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const opa = await opaVersion()
  if (!opa)
    throw new Error('No `opa` was found. Install it from https://www.openpolicyagent.org/docs#running-opa, or name its path in SOMA_OPA.')
  await testRego()
  const wasm = await compileRego()
  const lock: Lock = {
    opa,
    rego: await digestOfFile('decision.rego'),
    test: await digestOfFile('decision_test.rego'),
    wasm: digest(wasm),
  }
  await writeFile(join(POLICIES, 'decision.wasm'), wasm)
  await writeFile(join(POLICIES, 'decision.lock.json'), `${JSON.stringify(lock, null, 2)}\n`)
  process.stdout.write(`decision.wasm: ${wasm.byteLength} bytes, OPA ${opa}\n`)
}
