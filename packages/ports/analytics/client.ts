import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client'
import { SomaError } from '@soma/contracts/errors'
import { requireTenant } from '@soma/contracts/requirements'
import { type Analytics, MAX_INSERT_ROWS } from './port.ts'

/** What makes every driver read and write the same. Set once per connection. */
export const SESSION_SETTINGS = {
  session_timezone: 'UTC',
  /** Rows carry times as ISO 8601. */
  date_time_input_format: 'best_effort',
  /** ClickHouse would drop a column it does not know without a word. */
  input_format_skip_unknown_fields: 0,
  output_format_json_quote_64bit_integers: 1,
  /** A block ends at a number of rows alone, so that a batch is one block whatever its bytes. */
  min_insert_block_size_bytes: '0',
  /** Seconds. A process can't end before its statements have, so none may run on forever. */
  max_execution_time: 30,
} as const satisfies ClickHouseSettings

/** A bigint has no JSON of its own; as text ClickHouse takes it for every type of integer. */
export const JSON_HANDLING = {
  parse: JSON.parse,
  stringify: (value: unknown): string => JSON.stringify(value, (_field, part) => (typeof part === 'bigint' ? part.toString() : part)),
}

const TABLE = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$/
/** Not the statement's fault. */
const OVERLOADED = /^(MEMORY_LIMIT_EXCEEDED|TIMEOUT_EXCEEDED|TOO_MANY_SIMULTANEOUS_QUERIES|AUTHENTICATION_FAILED)$/
const FULL_DISK = /NOT_ENOUGH_SPACE|No space left on device|Disk quota exceeded/

/** The analytics port on a client of ClickHouse, whatever it is connected to. It has `JSON_HANDLING` and `SESSION_SETTINGS`. */
export function analyticsOn(client: ClickHouseClient): Analytics {
  async function query<Row>(sql: string, parameters?: Record<string, unknown>): Promise<Row[]> {
    const result = await explained(client.query({ query: sql, query_params: bound(parameters), format: 'JSONEachRow' }))
    return result.json<Row>()
  }

  return {
    command: async (sql, parameters) => {
      await explained(client.command({ query: sql, query_params: bound(parameters) }))
    },
    query,
    queryWithin: async ({ tenant, table }, sql, parameters) => {
      requireTenant(tenant)
      requireTable(table)
      // In the statement and not beside it, as chDB puts the latter on the connection that all statements share.
      return query(`${sql}\nsettings additional_table_filters = {'${table}': 'tenant = \\'${tenant}\\''}`, parameters)
    },
    insert: async (table, rows) => {
      requireTable(table)
      requireBatch(rows.length)
      if (rows.length === 0) return
      await explained(client.insert({ table, values: rows, format: 'JSONEachRow' }))
    },
    version: async () => (await query<{ version: string }>('select version() as version'))[0]?.version ?? '',
    close: () => client.close(),
  }
}

/** Both transports cut a `Date` in their own way; as text to the millisecond it is the same for each. */
function bound(parameters: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
  if (!parameters) return undefined
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [name, value instanceof Date ? timeAsText(name, value) : value]),
  )
}

function timeAsText(name: string, time: Date): string {
  if (Number.isNaN(time.getTime())) throw new SomaError('invalid_input', `The parameter "${name}" is an invalid Date.`, { parameter: name })
  return time.toISOString().replace('T', ' ').replace('Z', '')
}

function requireTable(table: string): void {
  if (TABLE.test(table)) return
  const shown = JSON.stringify(String(table).slice(0, 80))
  throw new SomaError('invalid_input', `${shown} is no table. It is "name" or "database.name", of letters, digits and "_".`, { table })
}

function requireBatch(rows: number): void {
  if (rows <= MAX_INSERT_ROWS) return
  throw new SomaError('invalid_input', `The batch has ${rows} rows; one insert takes at most ${MAX_INSERT_ROWS}. Send it in parts.`, {
    rows,
    limit: MAX_INSERT_ROWS,
  })
}

async function explained<Result>(result: Promise<Result>): Promise<Result> {
  try {
    return await result
  } catch (cause) {
    throw explainFailure(cause)
  }
}

/** What a failed statement means to whoever sent it. */
export function explainFailure(cause: unknown): SomaError {
  const { message, type, code, cause: origin } = cause as Error & { type?: string; code?: string; cause?: Error }
  if (FULL_DISK.test(`${type} ${message}`)) {
    return new SomaError(
      'disk_full',
      'The disk of the analytics store is full, so nothing was stored. Free some space and try again.',
      {},
      { cause },
    )
  }
  if (origin?.name === 'ChdbBindError') return new SomaError('invalid_input', message, {}, { cause })
  if (!type || OVERLOADED.test(type)) {
    return new SomaError('dependency_unavailable', `The analytics store does not answer: ${message}`, { type }, { cause })
  }
  return new SomaError('invalid_input', `ClickHouse refused the statement (${type}): ${message}`, { type, code }, { cause })
}
