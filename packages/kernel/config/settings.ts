import { z } from 'zod'
import { Config, SHORT_VARIABLES, VARIABLES_READ_ELSEWHERE } from './schema.ts'

/** One setting, as a row of the reference page. */
export interface Setting {
  /** `http.port` */
  path: string
  /** `SOMA_HTTP__PORT`, and short names. */
  variables: string[]
  /** `number`, `text`, `true or false`, `list`, `JSON object`, or the values that are allowed. */
  type: string
  default: unknown
  description: string
  isSecret: boolean
}

interface Node {
  type?: string
  properties?: Record<string, Node>
  enum?: unknown[]
  default?: unknown
  description?: string
  secret?: boolean
}

const TYPES: Record<string, string> = {
  string: 'text',
  number: 'number',
  integer: 'number',
  boolean: 'true or false',
  array: 'list',
  object: 'JSON object',
}

/** Every setting, in the schema's order. */
export const SETTINGS: readonly Setting[] = [...leaves(z.toJSONSchema(Config, { io: 'input' }) as Node, [])]

const BY_VARIABLE = new Map(SETTINGS.flatMap((setting) => setting.variables.map((name) => [name, setting] as const)))

export function settingOfVariable(name: string): Setting | undefined {
  return BY_VARIABLE.get(name)
}

export function knownVariables(): string[] {
  return [...BY_VARIABLE.keys(), ...Object.keys(VARIABLES_READ_ELSEWHERE)]
}

/** The reference page's tables, in Markdown. */
export function configurationReference(): string {
  const rows = SETTINGS.map((setting) =>
    row([
      `\`${setting.path}\``,
      setting.variables.map((name) => `\`${name}\``).join(' '),
      setting.type,
      setting.default === undefined ? '' : `\`${JSON.stringify(setting.default)}\``,
      setting.description + (setting.isSecret ? ' Secret.' : ''),
    ]),
  )
  const client = Object.entries(VARIABLES_READ_ELSEWHERE).map(([name, description]) => row([`\`${name}\``, description]))
  return [
    row(['key', 'variables', 'type', 'default', 'meaning']),
    row(['---', '---', '---', '---', '---']),
    ...rows,
    '',
    row(['variable', 'meaning']),
    row(['---', '---']),
    ...client,
    '',
  ].join('\n')
}

function row(cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function* leaves(node: Node, path: string[]): Generator<Setting> {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const below = [...path, key]
    // An object with a description is one setting (a budget); one without is a section.
    if (child.properties && child.description === undefined) yield* leaves(child, below)
    else yield settingOf(child, below)
  }
}

function settingOf(node: Node, path: string[]): Setting {
  const dotted = path.join('.')
  const short = Object.entries(SHORT_VARIABLES).flatMap(([name, target]) => (target === dotted ? [name] : []))
  return {
    path: dotted,
    variables: [...short, `SOMA_${path.map(upperSnake).join('__')}`, ...singleUnderscore(path)],
    type: node.enum ? node.enum.map(String).join(', ') : (TYPES[node.type ?? ''] ?? 'text'),
    default: node.default,
    description: node.description ?? '',
    isSecret: node.secret === true,
  }
}

/** `SOMA_SQL_URL` for `sql.url`: what people type, as long as it can mean only one thing. */
function singleUnderscore(path: string[]): string[] {
  return path.length > 1 ? [`SOMA_${path.map(upperSnake).join('_')}`] : []
}

function upperSnake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
}
