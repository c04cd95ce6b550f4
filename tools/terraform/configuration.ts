import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { devNull, tmpdir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { type ProcessResult, processFailed, runProcess } from '../frame/process.ts'

const Folder = z
  .string()
  .refine((path) => isAbsolute(path), 'Give the absolute path of the folder.')
  .describe('Absolute path of the folder that holds the *.tf files')

const facts = ({ folder }: { folder: string }) => ({ kind: 'folder', path: resolve(folder) })

const Diagnostic = z.object({
  severity: z.enum(['error', 'warning']).describe('An error makes the configuration invalid'),
  summary: z.string().describe('What is wrong'),
  detail: z.string().describe('What to do about it'),
  file: z.string().optional().describe('Relative to the folder'),
  line: z.number().int().optional().describe('From 1'),
})

const Validation = z.object({
  valid: z.boolean().describe('No error was found'),
  complete: z.boolean().describe('Everything was checked; false when providers or modules are not on this machine'),
  missing: z.string().optional().describe('When not complete: what terraform could not get'),
  diagnostics: z.array(Diagnostic).describe('Errors and warnings, 500 at most'),
})

export const validate = operation({
  name: 'terraform.validate',
  summary: 'Check that a Terraform configuration holds together',
  description:
    'Nothing is fetched and nothing is written into the folder: providers and modules that are not on this machine are left out, and `complete` is then false.',
  input: z.object({ folder: Folder }),
  output: Validation,
  effect: 'read',
  capability: 'tool.terraform.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  timeoutSeconds: 120,
  resource: (input) => facts(input),
  async run({ folder }, { signal }) {
    await requireConfiguration(folder)
    const data = await mkdtemp(join(tmpdir(), 'soma-terraform-'))
    try {
      const init = await terraform(folder, ['init', '-backend=false', '-input=false', '-no-color', '-lockfile=readonly'], data, signal)
      const result = await terraform(folder, ['validate', '-json', '-no-color'], data, signal)
      return validation(init, result)
    } finally {
      await rm(data, { recursive: true, force: true })
    }
  },
})

export const fmt = operation({
  name: 'terraform.fmt',
  summary: "Which files are not in Terraform's canonical format",
  description: 'Only looks; nothing is rewritten.',
  input: z.object({ folder: Folder, recursive: z.boolean().default(true).describe('Also the folders in it') }),
  output: z.object({
    formatted: z.boolean().describe('All files are in canonical format and can be parsed'),
    files: z.array(z.string()).describe('Relative paths of those that are not'),
    problem: z.string().optional().describe('What terraform said about files it can not parse'),
  }),
  effect: 'read',
  capability: 'tool.terraform.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: (input) => facts(input),
  async run({ folder, recursive }, { signal }) {
    await requireFolder(folder)
    const args = ['fmt', '-check', '-write=false', '-list=true', '-no-color', ...(recursive ? ['-recursive'] : [])]
    const result = await terraform(folder, args, join(tmpdir(), 'soma-terraform-unused'), signal)
    const files = result.stdout
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
    const problem = result.stderr.replaceAll(COLOUR, '').trim().slice(0, 4_000)
    return { formatted: result.exitCode === 0, files, ...(problem !== '' && { problem }) }
  },
})

// biome-ignore lint/suspicious/noControlCharactersInRegex: terraform fmt writes escape sequences in spite of -no-color
const COLOUR = /\u001b\[[0-9;]*m/g

/** What terraform says when something was not fetched: about this machine, not about the configuration. */
const NOT_HERE = new Set(['Module not installed', 'Missing required provider', 'Inconsistent dependency lock file'])

const Report = z.object({
  valid: z.boolean(),
  diagnostics: z.array(
    z.object({
      severity: z.enum(['error', 'warning']),
      summary: z.string(),
      detail: z.string().default(''),
      range: z.object({ filename: z.string(), start: z.object({ line: z.number() }) }).optional(),
    }),
  ),
})

function validation(init: ProcessResult, result: ProcessResult): z.infer<typeof Validation> {
  const report = Report.safeParse(jsonOf(result))
  if (!report.success) throw processFailed('terraform', ['validate'], result)
  const notHere = report.data.diagnostics.filter(({ summary }) => NOT_HERE.has(summary))
  const found = report.data.diagnostics.filter(({ summary }) => !NOT_HERE.has(summary))
  const complete = notHere.length === 0
  const said = init.stderr.replaceAll(COLOUR, '').trim() || notHere.map(({ detail }) => detail).join('\n')
  return {
    valid: found.every(({ severity }) => severity !== 'error'),
    complete,
    ...(!complete && { missing: said.slice(0, 2_000) }),
    diagnostics: found
      .slice(0, 500)
      .map(({ severity, summary, detail, range }) => ({ severity, summary, detail, file: range?.filename, line: range?.start.line })),
  }
}

function jsonOf(result: ProcessResult): unknown {
  try {
    return JSON.parse(result.stdout.toString('utf8'))
  } catch {
    return undefined
  }
}

/**
 * Terraform, kept from the network and from the folder: state goes to `data`; the proxy is a port where nothing listens, and git, which
 * fetches modules, may use no protocol.
 */
function terraform(folder: string, args: string[], data: string, signal: AbortSignal): Promise<ProcessResult> {
  const nowhere = 'http://127.0.0.1:9'
  return runProcess('terraform', args, {
    cwd: folder,
    signal,
    env: {
      TF_DATA_DIR: data,
      TF_CLI_CONFIG_FILE: devNull,
      TF_IN_AUTOMATION: '1',
      TF_INPUT: '0',
      TF_REGISTRY_DISCOVERY_RETRY: '0',
      CHECKPOINT_DISABLE: '1',
      HTTP_PROXY: nowhere,
      HTTPS_PROXY: nowhere,
      GIT_ALLOW_PROTOCOL: 'none',
    },
  })
}

async function requireConfiguration(folder: string): Promise<void> {
  const names = await requireFolder(folder)
  if (names.some((name) => /\.tf(\.json)?$/.test(name))) return
  throw new SomaError('invalid_input', `"${folder}" holds no *.tf file. Give the folder that does.`, { folder })
}

async function requireFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code
    throw new SomaError('invalid_input', `The folder "${folder}" can not be read (${reason}).`, { folder, reason }, { cause })
  }
}
