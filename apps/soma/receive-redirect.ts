import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Redirect {
  /** What the issuer shall send the browser back to. */
  address: string
  /** The address that the browser came back to, with what the issuer said. Rejects when the signal does. */
  arrived(signal: AbortSignal): Promise<URL>
  close(): void
}

/**
 * Listens on a free port of this machine for the browser to come back from the issuer.
 * @param state what the issuer must give back: whoever comes without it was not sent by us
 */
export async function receiveRedirect(state: string): Promise<Redirect> {
  const server = createServer()
  const listening = server.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`
  return {
    address,
    arrived: (signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        server.on('request', (request, response) => {
          const url = new URL(request.url ?? '/', address)
          if (url.pathname !== '/callback' || url.searchParams.get('state') !== state) return answer(response, 404, 'Nothing is here.')
          const isRefused = url.searchParams.has('error')
          answer(response, 200, isRefused ? 'You were not signed in. The terminal says why.' : 'Done. Go back to the terminal.')
          resolve(url)
        })
      }),
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

function answer(response: ServerResponse, status: number, sentence: string): void {
  const headers = { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': "default-src 'none'", connection: 'close' }
  response.writeHead(status, headers).end(`<!doctype html><title>SomaAgent</title><p>${sentence}</p>`)
}
