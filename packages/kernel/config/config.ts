import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseEnv } from 'node:util'
import { SomaError } from '@soma/contracts/errors'
import { closest } from 'fastest-levenshtein'
import type { z } from 'zod'
import { Config, type ConfigInput, PROFILES, VARIABLES_READ_ELSEWHERE } from './schema.ts'
import { knownVariables, SETTINGS, type Setting, settingOfVariable } from './settings.ts'

const FILES = ['soma.config.ts', 'soma.config.mjs', 'soma.config.json']
/** Where `npm run stack -- up` writes the addresses of the real servers. */
const STACK_ENV = '.stack/stack.env'
type Tree = Record<string, unknown>

export interface LoadConfigOptions {
  cwd: string
  env: NodeJS.ProcessEnv
  /** Instead of the `soma.config.*` of `cwd`. */
  file?: string
  /** Flags of the command line; they win over everything. */
  overrides?: ConfigInput
}

/**
 * The settings in force: defaults, then the configuration file, then `SOMA_*` variables, then `overrides`. Paths come back absolute.
 * @throws `unknown_configuration_key` with the nearest name; `invalid_input` with the place where the wrong value stands
 */
export async function loadConfig(options: LoadConfigOptions): Promise<Config> {
  const file = configurationFile(options)
  const fromFile = file ? await readConfigurationFile(file) : {}
  const { tree: fromEnvironment, origins } = readVariables(options.env)
  const given = [fromFile, fromEnvironment, (options.overrides ?? {}) as Tree].reduce(merge, {})
  const profile = await readProfile(given.profile, options)
  for (const [path, origin] of profile.origins) if (!origins.has(path)) origins.set(path, origin)
  const merged = merge(profile.tree, given)
  const parsed = Config.safeParse(merged)
  if (!parsed.success) throw explain(parsed.error, (path) => origins.get(path) ?? file ?? 'the configuration')
  return { ...parsed.data, data: resolve(options.cwd, parsed.data.data) }
}

/** What the profile says where nothing else does: its drivers and, for the real servers, the addresses that `npm run stack` wrote. */
async function readProfile(profile: unknown, { cwd, env }: LoadConfigOptions): Promise<{ tree: Tree; origins: Map<string, string> }> {
  if (profile !== 'stack') return { tree: {}, origins: new Map() }
  const file = resolve(cwd, env.SOMA_STACK_ENV || STACK_ENV)
  if (env.SOMA_STACK_ENV && !existsSync(file))
    throw new SomaError(
      'invalid_input',
      `SOMA_STACK_ENV names ${file}, which does not exist. Start the servers with: npm run stack -- up`,
      { file },
    )
  const variables = existsSync(file) ? parseEnv(await readFile(file, 'utf8')) : {}
  const { tree } = readVariables(variables)
  return {
    tree: merge({ drivers: PROFILES.stack }, tree),
    origins: new Map(Object.keys(variables).map((name) => [settingOfVariable(name)?.path ?? name, file])),
  }
}

/** The settings for printing: secrets are replaced. */
export function describeConfig(config: Config): Record<string, unknown> {
  return Object.fromEntries(SETTINGS.map((setting) => [setting.path, shown(setting, valueAt(config, setting.path))]))
}

function shown(setting: Setting, value: unknown): unknown {
  const isEmpty = value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
  return setting.isSecret && !isEmpty ? '[secret]' : value
}

function valueAt(tree: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (value as Tree | undefined)?.[key], tree)
}

function configurationFile({ cwd, env, file }: LoadConfigOptions): string | undefined {
  const named = file ?? (env.SOMA_CONFIG || undefined)
  if (named) {
    const path = resolve(cwd, named)
    if (!existsSync(path)) throw new SomaError('invalid_input', `The configuration file ${path} does not exist.`, { file: path })
    return path
  }
  const found = FILES.map((name) => join(cwd, name)).filter((path) => existsSync(path))
  if (found.length > 1)
    throw new SomaError('invalid_input', `There is more than one configuration file: ${found.join(', ')}. Keep one.`, { files: found })
  return found[0]
}

async function readConfigurationFile(path: string): Promise<Tree> {
  const content = await evaluate(path).catch((cause: Error) => {
    throw new SomaError('invalid_input', `${path} can not be read: ${cause.message}`, { file: path }, { cause })
  })
  if (typeof content === 'object' && content !== null && !Array.isArray(content)) return content as Tree
  throw new SomaError(
    'invalid_input',
    `${path} must hold an object of settings${extname(path) === '.json' ? '' : ' as its default export'}.`,
    { file: path },
  )
}

async function evaluate(path: string): Promise<unknown> {
  if (extname(path) === '.json') return JSON.parse((await readFile(path, 'utf8')).replace(/^\uFEFF/, ''))
  return ((await import(pathToFileURL(path).href)) as { default?: unknown }).default
}

function readVariables(env: NodeJS.ProcessEnv): { tree: Tree; origins: Map<string, string> } {
  const tree: Tree = {}
  const origins = new Map<string, string>()
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('SOMA_') || name in VARIABLES_READ_ELSEWHERE || text === undefined || text === '') continue
    const setting = settingOfVariable(name)
    if (!setting) throw unknownKey(`The variable ${name}`, name, knownVariables(), 'the environment')
    const other = origins.get(setting.path)
    if (other && env[other] !== text)
      throw new SomaError('invalid_input', `${other} and ${name} both set ${setting.path}, to different values. Keep one.`, {
        variables: [other, name],
      })
    origins.set(setting.path, name)
    place(tree, setting.path.split('.'), readValue(setting, name, text))
  }
  return { tree, origins }
}

function readValue(setting: Setting, name: string, text: string): unknown {
  if (setting.type === 'number') return text.trim() === '' ? text : Number(text)
  if (setting.type === 'true or false') return { true: true, '1': true, false: false, '0': false }[text.toLowerCase()] ?? text
  if (setting.type === 'list')
    return text
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
  if (setting.type !== 'JSON object') return text
  try {
    return JSON.parse(text)
  } catch (cause) {
    const example = setting.isSecret ? '' : `, not ${JSON.stringify(text.slice(0, 80))}`
    throw new SomaError('invalid_input', `${name} must be a JSON object${example}.`, { variable: name }, { cause })
  }
}

function place(tree: Tree, path: string[], value: unknown): void {
  const [key, ...rest] = path as [string, ...string[]]
  if (rest.length === 0) tree[key] = value
  else {
    tree[key] ??= {}
    place(tree[key] as Tree, rest, value)
  }
}

function merge(below: Tree, above: Tree): Tree {
  const result: Tree = { ...below }
  for (const [key, value] of Object.entries(above)) {
    if (value === undefined) continue
    result[key] = isSection(value) && isSection(result[key]) ? merge(result[key], value) : value
  }
  return result
}

function isSection(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function explain(error: z.ZodError, originOf: (path: string) => string): SomaError {
  const issue = error.issues[0] as z.core.$ZodIssue
  const path = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    const key = [...issue.path, issue.keys[0]].join('.')
    return unknownKey(`The key ${key}`, key, knownKeys(), originOf(key))
  }
  const problems = error.issues.map((each) => `${each.path.join('.')}: ${each.message}`)
  return new SomaError('invalid_input', `The setting ${path} (from ${originOf(path)}) does not hold: ${issue.message}.`, { problems })
}

/** Settings and the sections above them: a misspelt section is as likely as a misspelt setting. */
function knownKeys(): string[] {
  const sections = SETTINGS.flatMap(({ path }) => (path.includes('.') ? [path.slice(0, path.lastIndexOf('.'))] : []))
  return [...new Set([...SETTINGS.map((setting) => setting.path), ...sections])]
}

function unknownKey(subject: string, key: string, known: string[], origin: string): SomaError {
  const nearest = closest(key, known)
  return new SomaError('unknown_configuration_key', `${subject} (from ${origin}) is not a setting. Did you mean ${nearest}?`, {
    key,
    nearest,
  })
}
