import { inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    stack: Record<string, string>
  }
}

/**
 * A variable that a server of the stack gave.
 * @throws when that server does not run: a missing server fails a test, it never skips one
 */
export function fromStack(name: string): string {
  const value = inject('stack')[name]
  if (value === undefined) throw new Error(`${name} is not among the variables of the stack: is its server in stack/servers.ts?`)
  return value
}
