import type { ClickHouseClient } from '@clickhouse/client'
import { SomaError } from '@soma/contracts/errors'
import { analyticsOn, explainFailure, JSON_HANDLING, SESSION_SETTINGS } from './client.ts'
import { openAnalyticsLazily } from './lazily.ts'
import type { Analytics } from './port.ts'

export interface ClickHouseOptions {
  /** `http://localhost:8123` */
  url?: string
  username: string
  password?: string
  /** Made when missing. */
  database: string
  /** A statement that has not answered by then is given up. */
  requestTimeoutMilliseconds?: number
}

/** Longer than a statement may run, so that ClickHouse says first what was wrong with it. */
const REQUEST_TIMEOUT_MILLISECONDS = 1000 * (SESSION_SETTINGS.max_execution_time + 5)

/**
 * The analytics port on a ClickHouse server over HTTP: the same client and the same SQL as chDB. The server is asked for nothing before
 * the first use. A statement's answer is complete or an error, never half of it. Nothing is sent twice, for an insert that was not
 * confirmed may have arrived.
 * @throws `invalid_input` without a URL
 */
export async function openClickHouse(options: ClickHouseOptions): Promise<Analytics> {
  const { url, database } = options
  if (!url) throw new SomaError('invalid_input', 'Nothing says where ClickHouse is. Set SOMA_CLICKHOUSE_URL, e.g. http://localhost:8123.')
  return openAnalyticsLazily(async () => {
    await makeDatabase(await connect(url, options), database)
    return analyticsOn(await connect(url, options, database))
  })
}

async function connect(url: string, options: ClickHouseOptions, database?: string): Promise<ClickHouseClient> {
  const { ClickHouseLogLevel, createClient } = await import('@clickhouse/client')
  return createClient({
    url,
    username: options.username,
    password: options.password,
    database,
    request_timeout: options.requestTimeoutMilliseconds ?? REQUEST_TIMEOUT_MILLISECONDS,
    compression: { response: true, request: true },
    // Without waiting, the server would answer "200 OK" and then, among the rows, say that the statement failed.
    clickhouse_settings: { ...SESSION_SETTINGS, wait_end_of_query: 1 },
    json: JSON_HANDLING,
    // Whoever asked gets the error.
    log: { level: ClickHouseLogLevel.OFF },
  })
}

/** On a connection to no database, for a server refuses every statement to one that is not there. */
async function makeDatabase(client: ClickHouseClient, database: string): Promise<void> {
  try {
    const known = await client.query({
      query: 'select name from system.databases where name = {name:String}',
      query_params: { name: database },
      format: 'JSONEachRow',
    })
    // Who may use a database need not be allowed to make one.
    if ((await known.json()).length > 0) return
    await client.command({ query: 'create database if not exists {name:Identifier}', query_params: { name: database } })
  } catch (cause) {
    throw explainFailure(cause)
  } finally {
    await client.close()
  }
}
