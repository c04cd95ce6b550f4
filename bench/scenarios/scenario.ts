import type { Postgres } from '../database.ts'
import type { PortName } from '../ports/port.ts'

export interface Options {
  postgres: Postgres
  /** Every system is measured once a round, one after the other, so that the machine's moods meet all of them alike. */
  rounds: number
  /** Less of everything: to see that it works, not to quote. */
  quick: boolean
  /** Of the scenario `ports`: only these. */
  ports?: readonly PortName[]
  say(line: string): void
}

/** A table for people: the first column names the row. */
export interface Table {
  title: string
  columns: readonly string[]
  rows: readonly (readonly (string | number)[])[]
}

export interface Goal {
  says: string
  /** What was measured, in the unit that `says` names. */
  measured: number
  met: boolean
}

export interface Outcome {
  tables: Table[]
  goals: Goal[]
  /** Everything that was measured, for the results file. */
  measured: unknown
}

export type Scenario = (options: Options) => Promise<Outcome>
