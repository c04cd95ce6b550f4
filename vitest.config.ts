import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['{apps,services,tools,packages,capsules,policies,scripts,stack,test}/**/*.test.ts'],
    exclude: [...configDefaults.exclude, '**/*.stack.test.ts'],
    globalSetup: ['test/postgres.setup.ts'],
    testTimeout: 60_000,
    // On a busy machine a second is short; a condition that holds ends the wait at once.
    expect: { poll: { timeout: 10_000 } },
    hookTimeout: 120_000,
    maxWorkers: 2,
    allowOnly: false,
  },
})
