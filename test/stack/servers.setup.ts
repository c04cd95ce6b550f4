import { SERVERS } from '@soma/stack/servers'
import { openStack } from '@soma/stack/stack'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** The variables of `stack.env`. */
    stack: Record<string, string>
  }
}

/** Installs and starts the real servers; they stay up for the next run. SOMA_STACK_ONLY=redis,kafka starts no others. */
export default async function setup(project: TestProject) {
  const stack = openStack(SERVERS)
  await stack.up(process.env.SOMA_STACK_ONLY?.split(',') ?? [], ({ name }, step, milliseconds, detail = '') =>
    console.log(`${name.padEnd(14)} ${step.padEnd(10)} ${`${(milliseconds / 1000).toFixed(1)} s`.padStart(8)}  ${detail}`),
  )
  const env = await stack.env()
  project.provide('stack', env)
  const url = env.SOMA_SQL_URL && new URL(env.SOMA_SQL_URL)
  if (url)
    project.provide('postgres', {
      host: url.hostname,
      port: Number(url.port),
      user: url.username,
      password: decodeURIComponent(url.password),
    })
}
