import { SomaError } from '@soma/contracts/errors'
import { type Adapter, adapter, operation } from '@soma/contracts/operation'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { createOperations } from './operations.ts'

const demo = (name: string, more: Partial<Adapter> = {}): Adapter =>
  adapter({
    name,
    title: name,
    summary: name,
    operations: ['list', 'create'].map((verb) =>
      operation({
        name: `${name}.${verb}`,
        summary: verb,
        input: z.object({}),
        output: z.object({}),
        effect: 'read',
        capability: `tool.${name}.read`,
        idempotency: { kind: 'read' },
        run: async () => ({}),
      }),
    ),
    connect: async () => ({ name }),
    health: async () => ({ ok: true, detail: '' }),
    ...more,
  })

test('an unknown name is refused with the nearest there is', () => {
  const operations = createOperations([demo('git'), demo('files')])
  expect(operations.find('git.list').adapter.name).toBe('git')
  expect(() => operations.find('git.lits')).toThrow('No adapter declares an operation "git.lits". Did you mean git.list?')
  expect(() => createOperations([]).find('a')).toThrow('No adapter declares an operation "a". soma tool list')
})

test('two adapters with one operation are a mistake that keeps the platform from starting', () => {
  expect(() => createOperations([demo('git'), demo('git')])).toThrow('Two adapters declare git.list.')
})

test('a client is made once, at first use, also for many at once', async () => {
  let made = 0
  const git = demo('git', { connect: async () => ({ number: ++made }) })
  const operations = createOperations([git])
  expect(made).toBe(0)
  const clients = await Promise.all(Array.from({ length: 10 }, () => operations.clientOf(git)))
  expect(new Set(clients).size).toBe(1)
})

test('a client that could not be made is tried again at the next use', async () => {
  let attempts = 0
  const git = demo('git', {
    async connect() {
      if (++attempts === 1) throw new SomaError('tool_unavailable', 'git is not installed.')
      return 'client'
    },
  })
  const operations = createOperations([git])
  await expect(operations.clientOf(git)).rejects.toMatchObject({ code: 'tool_unavailable' })
  expect(await operations.clientOf(git)).toBe('client')
})

test('closing gives back every client that was made, also when another can not be closed', async () => {
  const closed: string[] = []
  const close = async (client: unknown) => {
    const { name } = client as { name: string }
    closed.push(name)
    if (name === 'git') throw new Error('broken')
  }
  const [git, files, unused] = [demo('git', { close }), demo('files', { close }), demo('unused', { close })]
  const operations = createOperations([git, files, unused])
  await Promise.all([git, files].map((each) => operations.clientOf(each)))
  await operations.close()
  expect(closed).toEqual(['git', 'files'])
})
