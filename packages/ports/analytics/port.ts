/**
 * ClickHouse SQL, in process (chDB) or over HTTP (the server): one client, one dialect.
 *
 * Values go in as parameters `{name:Type}`, never as text. A `Date` is a `{name:DateTime64(3)}`, a `bigint` any integer, `null` any
 * `Nullable`. Times without a zone are UTC, in both directions.
 *
 * Rows come out as JSON says them: `Int64`, `UInt64` and wider (so also `count()` and `sum()` of integers) as strings, because a
 * number would lose digits beyond 2^53: say `toUInt32(count())`, or `Number(…)` where the value is known to be small. Times come out
 * as `2026-01-31 23:59:59.123`, decimals as numbers, NaN and infinity as null.
 *
 * Every method throws `invalid_input` with ClickHouse's own words for what it refuses, `disk_full`, and `dependency_unavailable`,
 * also for a statement that takes longer than 30 seconds.
 */
export interface Analytics {
  /** Statements that give nothing back. */
  command(sql: string, parameters?: Record<string, unknown>): Promise<void>
  /** One statement that gives rows back, without a FORMAT clause. All rows are held in memory. */
  query<Row>(sql: string, parameters?: Record<string, unknown>): Promise<Row[]>
  /**
   * As `query`, for one tenant: of the table the statement sees the rows whose column `tenant` holds the tenant's name and no others, also
   * where it forgets to ask for them, and however often it names the table. It has no SETTINGS clause of its own.
   */
  queryWithin<Row>(owner: { tenant: string; table: string }, sql: string, parameters?: Record<string, unknown>): Promise<Row[]>
  /**
   * One batch of up to `MAX_INSERT_ROWS`, all or nothing: a row that does not fit, or has a column that the table lacks, keeps out
   * the whole batch. A batch that goes to several partitions may be cut by a crash at their border. Columns left out get their default.
   * @param table `name` or `database.name`, of letters, digits and `_`
   */
  insert(table: string, rows: readonly Record<string, unknown>[]): Promise<void>
  /** Of ClickHouse, e.g. `26.7.2.1`. */
  version(): Promise<string>
  close(): Promise<void>
}

/** A batch stays within one block of ClickHouse, which is what makes it atomic. */
export const MAX_INSERT_ROWS = 100_000
