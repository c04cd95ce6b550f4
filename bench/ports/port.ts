import type { Ground, Ports } from '@soma/kernel/platform/drivers'

/** The ports that are measured: those with a choice of drivers, and the database and the journal under them. */
export type MeasuredPorts = Pick<Ground, 'sql' | 'journal'> & Ports
export type PortName = keyof MeasuredPorts

/** What is asked of a port, the same whatever stands behind it. */
export interface Operations {
  /** The port's main operation, once; fails unless it gave what it should. `index` is another one each time. */
  one(index: number): Promise<void>
  /** What many do at a time, where that is not `one`. Gives how many operations it was. */
  several?(index: number): Promise<number>
  /** Resolves when everything that was done has come to where it goes. */
  arrived?(): Promise<void>
  close?(): Promise<void>
}

/** Makes what the operations need: tables, records, rules. That is not measured. */
export type Prepare<Port extends PortName> = (driver: MeasuredPorts[Port], ground: Ground) => Promise<Operations>

export const TENANT = 'bench'
