import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SomaError } from '@soma/contracts/errors'
import type { WorkflowDefinition } from '@soma/contracts/workflow'
import { type BundleOptions, bundleWorkflowCode, DefaultLogger, type WorkflowBundle } from '@temporalio/worker'

type WebpackConfiguration = Parameters<NonNullable<BundleOptions['webpackConfigHook']>>[0]

const SERVE = fileURLToPath(new URL('./sandbox/serve.ts', import.meta.url))
const bundles = new Map<string, Promise<WorkflowBundle>>()

/**
 * Bundles the modules that the definitions name, for Temporal's sandbox. Once a process for the same modules.
 * @throws SomaError `invalid_input` for a definition that its module does not export
 */
// biome-ignore lint/suspicious/noExplicitAny: see WorkflowDefinition
export async function bundleOf(definitions: readonly WorkflowDefinition<any, any>[]): Promise<WorkflowBundle> {
  await Promise.all(definitions.map(requireExported))
  const modules = [...new Set(definitions.map(({ module }) => fileURLToPath(module)))].sort()
  const key = modules.join('\n')
  const known = bundles.get(key) ?? bundle(modules)
  bundles.set(key, known)
  known.catch(() => bundles.delete(key))
  return known
}

// biome-ignore lint/suspicious/noExplicitAny: see WorkflowDefinition
async function requireExported(definition: WorkflowDefinition<any, any>): Promise<void> {
  const { name, module } = definition
  const exported: object[] = Object.values(await import(module))
  if (exported.includes(definition)) return
  throw new SomaError('invalid_input', `The workflow "${name}" names the module ${module}, which does not export it.`, { name, module })
}

async function bundle(modules: readonly string[]): Promise<WorkflowBundle> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-workflows-'))
  try {
    const workflowsPath = join(folder, 'workflows.ts')
    await writeFile(workflowsPath, entryOf(modules))
    return await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR'), webpackConfigHook: findLibraries })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The entry lies apart from what is installed, and the bundler looks beside it for the library. */
function findLibraries(config: WebpackConfiguration): WebpackConfiguration {
  const [installed] = fileURLToPath(import.meta.resolve('@temporalio/workflow')).split(join('@temporalio', 'workflow'))
  const resolve = { ...config.resolve, modules: [...(config.resolve?.modules ?? []), installed as string] }
  return { ...config, resolve }
}

function entryOf(modules: readonly string[]): string {
  const imports = modules.map((path, place) => `import * as module${place} from ${JSON.stringify(path)}`)
  const names = modules.map((_, place) => `module${place}`)
  return `import { serve } from ${JSON.stringify(SERVE)}\n${imports.join('\n')}\nexport default serve([${names.join(', ')}])\n`
}
