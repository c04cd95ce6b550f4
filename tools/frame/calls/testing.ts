import { createHash } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { ObjectRef, Operation, OperationContext } from '@soma/contracts/operation'

/** What an operation gets in a test: objects in memory, a signal that never aborts, and a way out only when the test gives one. */
export function testContext<Client>(given: Partial<OperationContext<Client>> & { client: Client }): OperationContext<Client> {
  const stored = new Map<string, Uint8Array>()
  return {
    tenant: 'test',
    key: 'run/1:step',
    signal: new AbortController().signal,
    workspace: '/nowhere',
    fetch: async (input) => {
      throw new SomaError('egress_blocked', `The test lets nothing out, but ${String(input)} was asked for.`)
    },
    progress: () => {},
    objects: {
      async put(content, mediaType): Promise<ObjectRef> {
        const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
        stored.set(digest, content)
        return { digest, size: content.length, mediaType }
      },
      async get(digest) {
        const content = stored.get(digest)
        if (!content) throw new SomaError('not_found', `No object ${digest}.`)
        return content
      },
    },
    ...given,
  }
}

/** Runs an operation as the platform does: input through its schema, output through its schema. */
export async function callOperation<Input, Output, Client>(
  operation: Operation<Input, Output, Client>,
  input: Record<string, unknown>,
  context: OperationContext<Client>,
): Promise<Output> {
  return operation.output.parse(await operation.run(operation.input.parse(input), context))
}
