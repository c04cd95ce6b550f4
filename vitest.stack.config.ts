import { defineConfig } from 'vitest/config'

/** What is proven on the real servers. They are started by `test/stack/servers.setup.ts`; one that is missing fails the run. */
export default defineConfig({
  test: {
    include: [
      '{apps,services,packages,test}/**/*.stack.test.ts',
      // The same files as on the embedded database, here on the server.
      'packages/ports/{sql,journal,locks,cache,broadcast,secrets}/postgres.test.ts',
      'packages/ports/events/journal.test.ts',
    ],
    globalSetup: ['test/stack/servers.setup.ts'],
    reporters: ['default', './test/stack/driver-report.ts'],
    testTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    hookTimeout: 120_000,
    maxWorkers: 2,
    allowOnly: false,
  },
})
