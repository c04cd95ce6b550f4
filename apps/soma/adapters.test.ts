import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import tools from '../../tools/package.json' with { type: 'json' }

/** Small, and read while the declarations are: the schemas themselves, and what the page of the report is laid out with. */
const EXPECTED = ['@soma/contracts', 'zod']

test('declaring every tool loads none of the libraries the tools work with', async () => {
  const loaded = await modulesLoadedBy(new URL('adapters.ts', import.meta.url))
  expect(loaded.some((url) => url.endsWith('/tools/scan/adapter.ts'))).toBe(true)
  const libraries = new Set(loaded.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []))
  expect(libraries).toContain('zod')
  for (const library of ['linguist-languages', 'playwright-core', 'echarts', '@secretlint/core']) expect(libraries).not.toContain(library)
  expect(Object.keys(tools.dependencies).filter((name) => libraries.has(name) && !EXPECTED.includes(name))).toEqual([])
})

/** URLs of the modules that a fresh process loads for one file. */
async function modulesLoadedBy(file: URL): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-loaded-'))
  try {
    const list = join(folder, 'urls')
    // The hook runs in a thread of its own, where nothing of this process is at hand: it writes down what it sees, at once.
    const hook = `import { appendFileSync } from 'node:fs'
      export async function load(url, context, next) {
        appendFileSync(${JSON.stringify(list)}, url + '\\n')
        return next(url, context)
      }`
    const program = `import { register } from 'node:module'
      import { register as registerTypeScript } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))}
      registerTypeScript({ tsconfig: false })
      register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)})
      await import(${JSON.stringify(file.href)})`
    await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])
    return (await readFile(list, 'utf8')).split('\n').filter((url) => url !== '')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
