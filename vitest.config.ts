import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['{apps,services,tools,packages,capsules,policies,scripts}/**/*.test.ts'],
    globalSetup: ['test/postgres.setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    allowOnly: false,
  },
})
