import type { Server } from './server.ts'
import { postgres } from './servers/postgres.ts'
import { toxiproxy } from './servers/toxiproxy.ts'

/** Every server of the stack, in the order in which they may start. */
export const SERVERS: readonly Server[] = [toxiproxy, postgres]
