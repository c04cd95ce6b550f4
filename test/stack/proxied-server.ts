import { randomUUID } from 'node:crypto'
import { fromStack } from '@soma/ports/testing'
import { z } from 'zod'

/** What happens to a server, as its clients see it. */
export type Fault = 'down' | 'slow' | 'resetting' | 'hanging'
/** Milliseconds that each answer of a slow server takes longer. */
const SLOW = 2000

/** Toxiproxy's words for what it does to connections, those that are open included. */
const TOXICS = {
  slow: { type: 'latency', attributes: { latency: SLOW } },
  // Connections stay open, and what the server says on them is lost: it may have done what nobody hears of.
  hanging: { type: 'timeout', attributes: { timeout: 0 } },
  resetting: { type: 'reset_peer', attributes: { timeout: 0 } },
} as const

/** A door to a server that can be spoilt. */
export interface ProxiedServer {
  /** host:port to reach it by. */
  address: string
  become(fault: Fault): Promise<void>
  heal(): Promise<void>
  close(): Promise<void>
}

/** @param server host:port of the server itself */
export async function openProxy(server: string): Promise<ProxiedServer> {
  const name = `degradation-${randomUUID()}`
  const said = await tell('POST', '', { name, listen: '127.0.0.1:0', upstream: server, enabled: true })
  const { listen: address } = z.object({ listen: z.string() }).parse(said)
  return {
    address,
    become: async (fault) => {
      if (fault === 'down') await tell('POST', `/${name}`, { enabled: false })
      else await tell('POST', `/${name}/toxics`, { name: 'fault', ...TOXICS[fault] })
    },
    heal: async () => {
      await tell('POST', `/${name}`, { enabled: true })
      await tell('DELETE', `/${name}/toxics/fault`)
    },
    close: async () => void (await tell('DELETE', `/${name}`)),
  }
}

async function tell(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
  const answer = await fetch(`${fromStack('TOXIPROXY_URL')}/proxies${path}`, { method, body: JSON.stringify(body) })
  const text = await answer.text()
  // A toxic that was never there need not be taken away.
  if (!answer.ok && !(method === 'DELETE' && answer.status === 404)) throw new Error(`Toxiproxy answers ${answer.status}: ${text}`)
  return text && answer.ok ? JSON.parse(text) : undefined
}
