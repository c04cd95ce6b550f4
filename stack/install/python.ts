import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cache } from '../cache.ts'

/**
 * A virtual environment of the machine's Python with exactly the packages of a requirements file: every one pinned with its digests, what
 * they need included, since nothing else is installed. Wheels only, so nothing is compiled.
 *
 * It is made in a draft that is renamed afterwards, and console scripts keep the draft's path: run modules, `python -m uvicorn`.
 * @param requirements path of a file that `uv pip compile --generate-hashes --universal` or alike wrote
 * @returns the interpreter
 */
export async function installPython(cache: Cache, name: string, requirements: string): Promise<string> {
  const folder = await cache.once(await keyOf(name, requirements), async (draft) => {
    await cache.run('python3', ['-m', 'venv', draft])
    const exactly = ['--no-deps', '--require-hashes', '--only-binary=:all:', '--no-cache-dir', '--disable-pip-version-check']
    await cache.run(join(draft, 'bin/python'), ['-m', 'pip', 'install', ...exactly, '-r', requirements])
  })
  return join(folder, 'bin/python')
}

/** The interpreter of an environment that `installPython` made. */
export async function pythonOf(cache: Cache, name: string, requirements: string): Promise<string> {
  return cache.path(await keyOf(name, requirements), 'bin/python')
}

async function keyOf(name: string, requirements: string): Promise<string> {
  const digest = createHash('sha256').update(await readFile(requirements))
  return `python/${name}-${digest.digest('hex').slice(0, 12)}`
}
