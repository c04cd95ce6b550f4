import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { adapter, operation } from '@soma/contracts/operation'
import { z } from 'zod'

/**
 * A world outside the platform that remembers every call made to it, one line each, in a file. What the platform did twice stands there
 * twice.
 */
export function worldAdapter(folder: string) {
  const calls = (name: string) => join(folder, `${name}.log`)
  const Item = z.object({ item: z.string(), milliseconds: z.number().default(5) })
  const Made = z.object({ made: z.string() })
  const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

  return adapter<undefined>({
    name: 'world',
    title: 'World',
    summary: 'Counts what is done to it',
    connect: async () => undefined,
    health: async () => ({ ok: true, detail: folder }),
    operations: [
      operation({
        name: 'world.make',
        summary: 'Make something that a look can find again',
        input: Item,
        output: Made,
        effect: 'write',
        capability: 'tool.world.write',
        resource: () => ({ kind: 'world', created_by_project: true }),
        idempotency: {
          kind: 'marker',
          find: async (_, { key }) => ((await linesOf(calls('make'))).includes(key) ? { made: key } : undefined),
        },
        run: async ({ milliseconds }, { key }) => {
          await pause(milliseconds)
          await appendFile(calls('make'), `${key}\n`, { flush: true })
          await pause(milliseconds)
          return { made: key }
        },
      }),
      operation({
        name: 'world.send',
        summary: 'Send something to a vendor that knows idempotency keys',
        input: Item,
        output: Made,
        effect: 'write',
        capability: 'tool.world.write',
        resource: () => ({ kind: 'world', created_by_project: true }),
        idempotency: { kind: 'native' },
        run: async ({ milliseconds }, { key }) => {
          await pause(milliseconds)
          if (!(await linesOf(calls('send'))).includes(key)) await appendFile(calls('send'), `${key}\n`, { flush: true })
          return { made: key }
        },
      }),
      operation({
        name: 'world.look',
        summary: 'Look at something',
        input: Item,
        output: z.object({ seen: z.string() }),
        effect: 'read',
        capability: 'tool.world.read',
        idempotency: { kind: 'read' },
        run: async ({ item, milliseconds }) => {
          await pause(milliseconds)
          return { seen: item }
        },
      }),
    ],
  })
}

export async function linesOf(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.split('\n').filter(Boolean)
}
