import { SomaError } from '@soma/contracts/errors'
import { expect, test } from 'vitest'
import { openAnalyticsLazily } from './lazily.ts'
import type { Analytics } from './port.ts'

/** A store that says how often it was opened and closed. */
function openings(failFirst = 0) {
  const count = { opened: 0, closed: 0 }
  const open = async (): Promise<Analytics> => {
    count.opened++
    if (count.opened <= failFirst) throw new SomaError('data_directory_in_use', 'Somebody has it.')
    return {
      command: async () => undefined,
      query: async () => [],
      queryWithin: async () => [],
      insert: async () => undefined,
      version: async () => '26.1',
      close: async () => {
        count.closed++
      },
    }
  }
  return { count, open }
}

test('it is opened by the first use, once however many use it at a time', async () => {
  const { count, open } = openings()
  const analytics = openAnalyticsLazily(open)
  expect(count.opened).toBe(0)
  expect(await Promise.all([analytics.version(), analytics.query('select 1'), analytics.version()])).toEqual(['26.1', [], '26.1'])
  await analytics.close()
  expect(count).toEqual({ opened: 1, closed: 1 })
})

test('an opening that failed is tried again by the next use', async () => {
  const { open } = openings(1)
  const analytics = openAnalyticsLazily(open)
  await expect(analytics.version()).rejects.toMatchObject({ code: 'data_directory_in_use' })
  expect(await analytics.version()).toBe('26.1')
})

test('one that was never used closes without being opened, and is not opened after', async () => {
  const { count, open } = openings()
  const analytics = openAnalyticsLazily(open)
  await analytics.close()
  await expect(analytics.version()).rejects.toMatchObject({ code: 'dependency_unavailable' })
  expect(count).toEqual({ opened: 0, closed: 0 })
})

test('closing while it opens waits for the opening and closes it', async () => {
  const { count, open } = openings()
  const analytics = openAnalyticsLazily(open)
  const asked = analytics.version()
  await analytics.close()
  expect(await asked).toBe('26.1')
  expect(count).toEqual({ opened: 1, closed: 1 })
})
