import { randomUUID } from 'node:crypto'

/** An error of the door itself, in ClickHouse's shape. */
export class Refusal extends Error {
  readonly clickhouseCode: number

  constructor(code: number, type: string, message: string) {
    super(`Code: ${code}. DB::Exception: ${message} (${type})`)
    this.clickhouseCode = code
  }
}

export interface Statement {
  queryId: string
  /** Statements that make the session what the request asks for. */
  preparation: string[]
  sql: string
  /** Of the rows, unless the statement names another. */
  format: string
  /** The answer may be packed, when the client can unpack it. */
  isPackedIfAsked: boolean
}

/** Parameters of the address that are about HTTP, not about the statement. An answer is always sent whole, so nothing is to be waited for. */
const ABOUT_HTTP = new Set([
  'query',
  'query_id',
  'database',
  'default_format',
  'enable_http_compression',
  'wait_end_of_query',
  'buffer_size',
  'send_progress_in_http_headers',
])
const LACKING = new Set(['session_id', 'session_timeout', 'session_check', 'role', 'compress', 'decompress', 'user', 'password'])

/**
 * What a request asks for: the statement is `query`, the body, or the one and then the other, as with the rows of an INSERT; what is no
 * parameter of HTTP is a setting.
 * @throws Refusal
 */
export function readStatement(method: string, address: URLSearchParams, body: string): Statement {
  const query = address.get('query')
  const sql = [query, body].filter(Boolean).join('\n')
  if (!sql) throw new Refusal(62, 'SYNTAX_ERROR', 'Syntax error: failed at position 1 (end of query): Empty query')
  const database = address.get('database')
  const settings = [...address].filter(([name]) => !ABOUT_HTTP.has(name)).map(([name, value]) => setting(name, value))
  return {
    queryId: address.get('query_id') ?? randomUUID(),
    // A GET changes nothing, as the last setting, for after it no other could be made.
    preparation: [...(database ? [`USE ${quoted(database)}`] : []), ...settings, ...(method === 'POST' ? [] : ['SET readonly = 2'])],
    sql,
    format: address.get('default_format') ?? 'TabSeparated',
    isPackedIfAsked: address.get('enable_http_compression') === '1',
  }
}

/** Parameters of a statement are settings too: `param_name` holds its value as text, which is how ClickHouse sends it. */
function setting(name: string, value: string): string {
  if (LACKING.has(name)) throw new Refusal(48, 'NOT_IMPLEMENTED', `This door to ClickHouse has no "${name}"`)
  if (!/^\w+$/.test(name))
    throw new Refusal(115, 'UNKNOWN_SETTING', `Setting ${name} is neither a builtin setting nor started with the prefix`)
  return `SET ${name} = '${value.replace(/[\\']/g, '\\$&')}'`
}

function quoted(identifier: string): string {
  return `\`${identifier.replace(/[\\`]/g, '\\$&')}\``
}
