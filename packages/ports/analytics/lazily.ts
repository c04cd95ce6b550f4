import { SomaError } from '@soma/contracts/errors'
import type { Analytics } from './port.ts'

/** An analytics store that is opened by its first use, so that it is not on the road of the start. An opening that failed is tried again by the next use. */
export function openAnalyticsLazily(open: () => Promise<Analytics>): Analytics {
  let opened: Promise<Analytics> | undefined
  let isClosed = false

  function use(): Promise<Analytics> {
    if (isClosed) return Promise.reject(new SomaError('dependency_unavailable', 'The analytics store is closed.'))
    if (!opened) {
      const opening = open()
      opening.catch(() => {
        if (opened === opening) opened = undefined
      })
      opened = opening
    }
    return opened
  }

  return {
    command: async (sql, parameters) => (await use()).command(sql, parameters),
    query: async <Row>(sql: string, parameters?: Record<string, unknown>) => (await use()).query<Row>(sql, parameters),
    queryWithin: async (owner, sql, parameters) => (await use()).queryWithin(owner, sql, parameters),
    insert: async (table, rows) => (await use()).insert(table, rows),
    version: async () => (await use()).version(),
    async close() {
      isClosed = true
      const analytics = await opened?.catch(() => undefined)
      await analytics?.close()
    },
  }
}
