import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedServer } from '@soma/ports/sql/embedded-server'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    postgres: { host: string; port: number; user: string; password: string }
  }
}

/** One PostgreSQL for the whole test run; every test file makes a database of its own on it (`openTestSql`). */
export default async function setup(project: TestProject) {
  const directory = await mkdtemp(join(tmpdir(), 'soma-test-'))
  const server = await startEmbeddedServer({ directory, durable: false })
  project.provide('postgres', server.connection)
  return async () => {
    await server.stop()
    await rm(directory, { recursive: true, force: true })
  }
}
