import { SomaError } from '@soma/contracts/errors'

/**
 * All that answers anybody, without credentials and without the gate, each with why. A route that says it is public and does not stand here
 * keeps the server from starting. `/*` stands for everything below.
 */
export const PUBLIC_ROUTES: Readonly<Record<string, string>> = {
  'GET /health': 'Whoever supervises the process has no credentials. It says nothing but that the process is alive.',
  'GET /ready': 'The same, for whoever sends it traffic. It names drivers, never data.',
  'GET /metrics': 'Prometheus scrapes it. Figures are of the process; none is of a tenant.',
  'GET /version': 'Clients look whether they fit before they sign in.',
  'GET /errors/:code': 'What a code means, for whoever was refused with it.',
  'GET /openapi.json': 'The API is no secret.',
  'GET /docs': 'The same as pages.',
  'GET /docs/*': 'The same as pages.',
  'GET /.well-known/jwks.json': 'Others verify the platform’s tokens with these public keys.',
  'GET /v1/auth/methods': 'How to sign in is asked before one has.',
  'POST /v1/auth/sign-in': 'Credentials are what it takes in.',
  'POST /v1/auth/sign-in/factor': 'The second half of signing in.',
  'POST /v1/auth/refresh': 'The refresh token in the body is the credential; the one before it has expired.',
  'POST /v1/invitations/accept': 'The token of the invitation in the body is the credential.',
}

/** @throws `internal` that names the route */
export function assertMayBePublic(method: string, url: string): void {
  // Every GET also answers to HEAD, with the same less its body.
  const verb = method === 'HEAD' ? 'GET' : method
  const isListed = Object.keys(PUBLIC_ROUTES).some((route) => {
    const [known, path = ''] = route.split(' ')
    return known === verb && (path === url || (path.endsWith('/*') && url.startsWith(path.slice(0, -1))))
  })
  if (isListed) return
  throw new SomaError(
    'internal',
    `The route ${verb} ${url} says that it is public, and does not stand in kernel/http/public-routes.ts. Add it with its reason, or have it ask for a capability.`,
    { method: verb, url },
  )
}
