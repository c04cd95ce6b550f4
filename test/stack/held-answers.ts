import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface HeldAnswers {
  /** An address of its own, whose answers are held back until they are let go. */
  newUrl(): string
  /** True once somebody asked there. */
  wasAsked(url: string): boolean
  /** Answers who asked there, and who will. */
  letGo(url: string): void
  close(): void
}

/** A web server that answers when it is told to: what calls it is under way for exactly as long as a test wants. */
export async function openHeldAnswers(): Promise<HeldAnswers> {
  const waiting = new Map<string, ServerResponse[]>()
  const free = new Set<string>()
  let serial = 0
  const server = createServer(({ url = '' }, response) => {
    waiting.set(url, [...(waiting.get(url) ?? []), response])
    if (free.has(url)) answer(url)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  function answer(path: string): void {
    for (const response of waiting.get(path) ?? []) response.end('here')
    waiting.set(path, [])
  }

  return {
    newUrl: () => `http://127.0.0.1:${port}/${++serial}`,
    wasAsked: (url) => waiting.has(new URL(url).pathname),
    letGo(url) {
      const { pathname } = new URL(url)
      free.add(pathname)
      answer(pathname)
    },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
