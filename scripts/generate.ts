/**
 * Writes what follows from the source: the OpenAPI document, the client's types and the reference pages.
 * `--check` writes nothing and fails when one is not what the source says.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ADAPTERS } from '@soma/cli/adapters'
import { wholeProgram } from '@soma/cli/main'
import { openWholePlatform } from '@soma/cli/serve'
import { describeOperations } from '@soma/kernel/actions/operation-catalogue'
import { loadConfig } from '@soma/kernel/config/config'
import { generateTypes } from '@soma/sdk/generate-types'
import { apiPage, cliPage, configurationPage, errorsPage, type OpenApiDocument, toolsPage } from './reference-pages.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The document of every service together, as a server answers it. */
async function readOpenApi(): Promise<OpenApiDocument> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-generate-'))
  try {
    const config = await loadConfig({ cwd: folder, env: {}, overrides: { http: { port: 0 }, log: { level: 'error' } } })
    const { server, lifecycle } = await openWholePlatform(config, 2)
    const document = (await server.app.inject('/openapi.json')).json<OpenApiDocument>()
    await lifecycle.stop('the document is read')
    return document
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function generate(): Promise<Record<string, string>> {
  const document = await readOpenApi()
  return {
    'packages/sdk/openapi.json': `${JSON.stringify(document, null, 2)}\n`,
    'packages/sdk/schema.d.ts': await generateTypes(document),
    'docs/reference/api.md': apiPage(document),
    'docs/reference/errors.md': errorsPage(),
    'docs/reference/configuration.md': configurationPage(),
    'docs/reference/tools.md': toolsPage(ADAPTERS, describeOperations(ADAPTERS)),
    'docs/reference/cli.md': cliPage(await wholeProgram()),
  }
}

const stale: string[] = []
for (const [path, text] of Object.entries(await generate())) {
  const file = join(ROOT, path)
  if ((await readFile(file, 'utf8').catch(() => undefined)) === text) continue
  stale.push(path)
  if (process.argv.includes('--check')) continue
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
}
if (process.argv.includes('--check') && stale.length > 0) {
  process.stderr.write(`Not what the source says: ${stale.join(', ')}. Run: npm run generate\n`)
  process.exitCode = 1
} else process.stdout.write(stale.length > 0 ? `Wrote ${stale.join(', ')}\n` : 'Everything generated is up to date.\n')
