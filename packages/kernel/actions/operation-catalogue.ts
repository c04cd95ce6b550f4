import type { Adapter, Operation } from '@soma/contracts/operation'
import { Effect } from '@soma/contracts/policy'
import { z } from 'zod'

/** An operation as everybody but its adapter sees it. Everything that describes operations is made from this. */
export const OperationDescription = z.object({
  name: z.string(),
  adapter: z.string(),
  summary: z.string(),
  description: z.string().optional(),
  effect: Effect,
  capability: z.string(),
  idempotency: z.enum(['native', 'marker', 'read', 'none']),
  reversedBy: z.string().optional(),
  timeoutSeconds: z.number(),
  untrustedOutput: z.boolean(),
  inputSchema: z.record(z.string(), z.unknown()).describe('JSON Schema'),
  outputSchema: z.record(z.string(), z.unknown()).describe('JSON Schema'),
})
export type OperationDescription = z.infer<typeof OperationDescription>

const described = new WeakMap<readonly Adapter<unknown>[], OperationDescription[]>()

/** Describes every operation of the adapters, in the order declared. Made once for a list of adapters. */
export function describeOperations(adapters: readonly Adapter<unknown>[]): readonly OperationDescription[] {
  const known = described.get(adapters) ?? describeAnew(adapters)
  described.set(adapters, known)
  return known
}

function describeAnew(adapters: readonly Adapter<unknown>[]): OperationDescription[] {
  return adapters.flatMap((adapter) => (adapter.operations as Operation[]).map((operation) => describeOperation(adapter.name, operation)))
}

function describeOperation(adapter: string, operation: Operation): OperationDescription {
  return {
    name: operation.name,
    adapter,
    summary: operation.summary,
    ...(operation.description ? { description: operation.description } : {}),
    effect: operation.effect,
    capability: operation.capability,
    idempotency: operation.idempotency.kind,
    ...(operation.reversedBy ? { reversedBy: operation.reversedBy } : {}),
    timeoutSeconds: operation.timeoutSeconds ?? 60,
    untrustedOutput: operation.untrustedOutput ?? false,
    inputSchema: z.toJSONSchema(operation.input, { io: 'input', unrepresentable: 'any' }),
    outputSchema: z.toJSONSchema(operation.output, { io: 'output', unrepresentable: 'any' }),
  }
}
