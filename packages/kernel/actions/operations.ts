import { SomaError } from '@soma/contracts/errors'
import type { Adapter, Operation } from '@soma/contracts/operation'
import { closest } from 'fastest-levenshtein'

/** An operation with the adapter that declares it. */
export interface FoundOperation {
  adapter: Adapter<unknown>
  operation: Operation
}

export interface Operations {
  readonly adapters: readonly Adapter<unknown>[]
  /** @throws `unknown_tool` with the nearest name */
  find(name: string): FoundOperation
  /** The adapter's client, made at first use. @throws `tool_unavailable` */
  clientOf(adapter: Adapter<unknown>): Promise<unknown>
  close(): Promise<void>
}

/** The operations that this process can perform. */
export function createOperations(adapters: readonly Adapter<unknown>[]): Operations {
  const byName = new Map<string, FoundOperation>()
  for (const adapter of adapters) {
    for (const operation of adapter.operations as Operation[]) {
      if (byName.has(operation.name)) throw new SomaError('internal', `Two adapters declare ${operation.name}.`)
      byName.set(operation.name, { adapter, operation })
    }
  }
  const clients = new Map<string, Promise<unknown>>()
  return {
    adapters,
    find(name) {
      const found = byName.get(name)
      if (found) return found
      const nearest = byName.size > 0 ? ` Did you mean ${closest(name, [...byName.keys()])}?` : ''
      throw new SomaError('unknown_tool', `No adapter declares an operation "${name}".${nearest} soma tool list names them all.`, {
        operation: name,
      })
    },
    clientOf(adapter) {
      const client = clients.get(adapter.name) ?? adapter.connect()
      clients.set(adapter.name, client)
      client.catch(() => clients.delete(adapter.name))
      return client
    },
    async close() {
      for (const adapter of adapters) {
        const client = clients.get(adapter.name)
        if (client && adapter.close) await client.then((open) => adapter.close?.(open)).catch(() => undefined)
      }
    },
  }
}
