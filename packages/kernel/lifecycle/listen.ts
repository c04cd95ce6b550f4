import { SomaError } from '@soma/contracts/errors'
import type { FastifyInstance } from 'fastify'

type Listening = Pick<FastifyInstance, 'listen'>

/**
 * Opens the port. Returns the URL.
 * @throws `port_in_use`, `invalid_input` with what to do
 */
export async function listen(app: Listening, { host, port }: { host: string; port: number }): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (cause) {
    throw explain(cause as NodeJS.ErrnoException, host, port)
  }
}

function explain(cause: NodeJS.ErrnoException, host: string, port: number): unknown {
  const otherPort = 'Choose another with SOMA_PORT (0 takes any free one).'
  if (cause.code === 'EADDRINUSE')
    return new SomaError(
      'port_in_use',
      `Another program listens on ${host}:${port}. Stop it, or choose another port with SOMA_PORT (0 takes any free one).`,
      { host, port },
      { cause },
    )
  if (cause.code === 'EACCES')
    return new SomaError('invalid_input', `Port ${port} may not be opened by this user. ${otherPort}`, { host, port }, { cause })
  if (cause.code === 'EADDRNOTAVAIL' || cause.code === 'ENOTFOUND')
    return new SomaError(
      'invalid_input',
      `${host} is not an address of this machine. Set SOMA_HOST to one that is, e.g. 127.0.0.1.`,
      { host },
      { cause },
    )
  return cause
}
