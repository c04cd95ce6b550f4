import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createWindow } from './window.ts'

const running = () => ({ size: 5, stopping: new AbortController().signal })

test('whatever takes how long, a key keeps its order and nothing counts as done before all that comes before it', async () => {
  const keys = fc.constantFrom('acme', 'globex', 'initech')
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.array(keys, { maxLength: 20 }), async (scheduler, items) => {
      const finished: number[] = []
      const handle = scheduler.scheduleFunction(async (index: number) => {
        finished.push(index)
        return true
      })
      const window = createWindow<number>(0n, handle, { ...running(), size: 100 })
      for (const [index, key] of items.entries()) window.add(BigInt(index), key, index)
      while (scheduler.count() > 0) {
        await scheduler.waitOne()
        for (let index = 0; index < window.doneUpTo(); index++) expect(finished).toContain(index)
      }
      await scheduler.waitIdle()
      expect(window.doneUpTo()).toBe(BigInt(items.length))
      for (const key of new Set(items)) {
        const ofKey = finished.filter((index) => items[index] === key)
        expect(ofKey).toEqual(ofKey.toSorted((one, other) => one - other))
      }
    }),
  )
})

test('it takes no more than its size, and more when something is done', async () => {
  let finish: (done: boolean) => void = () => undefined
  const window = createWindow<string>(10n, () => new Promise((resolve) => (finish = resolve)), running())
  for (let index = 0; index < 5; index++) window.add(10n + BigInt(index), `key-${index}`, 'item')
  let hasRoom = false
  const room = window.room().then(() => {
    hasRoom = true
  })
  await Promise.resolve()
  expect([hasRoom, window.doneUpTo()]).toEqual([false, 10n])
  finish(true)
  await room
  expect(window.doneUpTo()).toBe(10n)
})

test('nothing of a key comes after an item that was not handled, and what handling threw is told', async () => {
  const handled: string[] = []
  const window = createWindow<string>(
    0n,
    async (item) => {
      handled.push(item)
      if (item === 'broken') throw new Error('the database is gone')
      return item !== 'stopped'
    },
    running(),
  )
  window.add(0n, 'acme', 'stopped')
  window.add(1n, 'acme', 'never')
  window.add(2n, 'globex', 'broken')
  window.add(3n, 'initech', 'fine')
  await expect(window.settled()).rejects.toThrow('the database is gone')
  await expect(window.room()).rejects.toThrow('the database is gone')
  expect(handled).toEqual(['stopped', 'broken', 'fine'])
  expect(window.doneUpTo()).toBe(0n)
})

test('whoever waits for room is let go when it is to stop', async () => {
  const stopping = new AbortController()
  const window = createWindow<string>(0n, () => new Promise(() => undefined), { size: 1, stopping: stopping.signal })
  window.add(0n, 'acme', 'endless')
  const room = window.room()
  stopping.abort()
  await room
})
