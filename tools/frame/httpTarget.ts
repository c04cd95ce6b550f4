import { z } from 'zod'

/** An address on the web, as an operation's input. */
export const WebUrl = z.url({ protocol: /^https?$/, error: 'Write a whole http: or https: URL, e.g. https://example.com/path.' }).max(8192)

/** Facts about a request that rules can test. The path is left out: it may hold secrets. */
export function httpTarget(url: string, method: string) {
  const { protocol, hostname, port } = new URL(url)
  const scheme = protocol.slice(0, -1)
  return {
    kind: 'http',
    scheme,
    host: hostname.replace(/^\[|\]$/g, '').replace(/\.$/, ''),
    port: port ? Number(port) : scheme === 'https' ? 443 : 80,
    method,
  }
}
