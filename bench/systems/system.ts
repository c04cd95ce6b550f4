import type { Connection } from '../child.ts'

/** Connections to PostgreSQL that every system may use at the most. */
export const CONNECTIONS = 20
export const STEPS = 5
/** What a run of five steps gives: each step adds its number. */
export const EXPECTED = 15

/** A workflow of five durable steps in sequence, as one system does it. */
export interface System {
  /** Runs it once, from start to end, and returns its output. `id` is new each time. */
  runOnce(id: string): Promise<number>
  close(): Promise<void>
}

export type OpenSystem = (connection: Connection) => Promise<System>
