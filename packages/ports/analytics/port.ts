/** ClickHouse SQL, in process (chDB) or over HTTP (the server): one client, one dialect. Values go in as parameters `{name:Type}`, never as text. */
export interface Analytics {
  /** Statements that give nothing back. */
  command(sql: string, parameters?: Record<string, unknown>): Promise<void>
  query<Row>(sql: string, parameters?: Record<string, unknown>): Promise<Row[]>
  /** One batch, all or nothing. */
  insert(table: string, rows: readonly Record<string, unknown>[]): Promise<void>
  version(): Promise<string>
  close(): Promise<void>
}
