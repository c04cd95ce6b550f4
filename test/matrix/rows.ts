import { randomUUID } from 'node:crypto'
import { capsuleOf, NOTHING_STOPPED, type Place, proposalOf, type Thing } from './things.ts'

/** A status, and the code of the problem where it tells apart what the status alone does not. */
export type Outcome = number | readonly [number, string]

export interface Row {
  /** What of a tenant's own the path names. */
  of?: Thing
  /** Values of parameters that name nothing of a tenant's. */
  given?: Record<string, string>
  /** Appended to the path. */
  query?: string
  /** True when the call uses up what the path names, so that each caller needs another. */
  spends?: true
  /** Fields of the body; the others are made from the schema. */
  body?(place: Place): object
  /** What whoever may do it gets, with what belongs to the own tenant. */
  allowed: Outcome
  /** The same for an agent, where only people can do it. */
  agents?: Outcome
  /** True when the call ends the session of whoever makes it, so that each caller signs in for it. */
  asAnother?: true
  /** What anybody gets, with whatever credentials. Only of routes that are public. */
  anybody?: Outcome
  /** What whoever may do it gets for what belongs to another tenant. Default: 404, as for what is not there. */
  elsewhere?: Outcome
}

const OK: Row = { allowed: 200 }
const OPEN: Row = { allowed: 200, anybody: 200 }
const NO_PERSON = [403, 'forbidden'] as const
/** Said of every account but the own, whether or not there is one: nobody looks. */
const NOT_OWN = [403, 'forbidden'] as const
const question = () => ({
  principal: { id: 'user:x', kind: 'user', capabilities: ['*'] },
  action: { name: 'tool.git.log', capability: 'tool.git.read', effect: 'read', resource: {} },
})
const later = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString()
const email = () => `${randomUUID()}@example.org`
const name = (kind: string) => `${kind}-${randomUUID().slice(0, 8)}`
let numbers = 1000
const rules = () => ({ yaml: proposalOf(++numbers).yaml })

/** Every route of the OpenAPI document. */
export const ROWS: Readonly<Record<string, Row>> = {
  'GET /health': OPEN,
  'GET /ready': OPEN,
  'GET /metrics': OPEN,
  'GET /version': OPEN,
  'GET /errors/{code}': { ...OPEN, given: { code: 'not_found' } },
  'GET /.well-known/jwks.json': OPEN,
  'GET /v1/status': OK,

  'GET /v1/auth/methods': OPEN,
  // A wrong password would cost a hash each time; that credentials are not asked for shows as well.
  'POST /v1/auth/sign-in': { allowed: 400, anybody: [400, 'invalid_input'], body: () => ({ email: 'no address' }) },
  'POST /v1/auth/sign-in/factor': { allowed: 401, anybody: [401, 'unauthenticated'], body: () => ({ challenge: 'x', code: '123456' }) },
  'POST /v1/auth/refresh': { allowed: 401, anybody: [401, 'unauthenticated'] },
  'POST /v1/invitations/accept': {
    allowed: 401,
    anybody: [401, 'unauthenticated'],
    body: () => ({ password: 'correct horse battery staple' }),
  },

  'GET /v1/audit/head': OK,
  'POST /v1/audit/checkpoints': { allowed: 201 },
  'GET /v1/audit/export': OK,
  'GET /v1/audit/proof': { allowed: 404, query: 'stream=nothing&seq=1' },
  'POST /v1/audit/redactions': { allowed: 404, body: () => ({ stream: 'nothing/at-all', reason: 'a test' }) },
  'GET /v1/audit/retention': OK,
  'PUT /v1/audit/retention': { allowed: 200, body: () => ({ rules: [] }) },
  'POST /v1/audit/retention/runs': { allowed: 200, body: () => ({ dryRun: true }) },
  'GET /v1/audit/holds': OK,
  'POST /v1/audit/holds': { allowed: 201, body: () => ({ streams: ['nothing/'] }) },
  'POST /v1/audit/holds/{id}/lift': { of: 'hold', spends: true, allowed: 200 },

  'GET /v1/me': OK,
  'GET /v1/account': { allowed: 200, agents: NO_PERSON },
  'POST /v1/account/password': { allowed: 401, body: () => ({ current: 'not the password', next: 'correct horse battery staple' }) },
  'POST /v1/auth/sign-out': { allowed: 200, asAnother: true },
  'POST /v1/auth/step-up': { allowed: 401, body: () => ({ code: '123456' }) },
  'POST /v1/users/{id}/mfa/enroll': {
    of: 'own account',
    elsewhere: NOT_OWN,
    allowed: 200,
    body: ({ world }) => ({ password: world.password }),
  },
  'POST /v1/users/{id}/mfa/verify': { of: 'own account', elsewhere: NOT_OWN, allowed: 401, body: () => ({ code: '123456' }) },
  'POST /v1/users/{id}/mfa/recovery-codes': {
    of: 'own account',
    elsewhere: NOT_OWN,
    allowed: 401,
    body: ({ world }) => ({ password: world.password }),
  },
  'POST /v1/users/{id}/mfa/remove': { of: 'own account', elsewhere: NOT_OWN, allowed: 401 },
  'GET /v1/sessions': { allowed: 200, agents: NO_PERSON },
  'DELETE /v1/sessions': { allowed: 200 },
  'DELETE /v1/sessions/{id}': { of: 'session', spends: true, allowed: 200 },

  'GET /v1/users': OK,
  'GET /v1/users/{id}': { of: 'user', allowed: 200 },
  'PATCH /v1/users/{id}': { of: 'user', allowed: 200, body: () => ({ name: 'Somebody' }) },
  'DELETE /v1/users/{id}': { of: 'user', spends: true, allowed: 200 },
  'GET /v1/users/{id}/capabilities': { of: 'user', allowed: 200 },
  'DELETE /v1/users/{id}/mfa': { of: 'user', allowed: 200 },
  'POST /v1/users/{id}/password-link': { of: 'user', allowed: 201 },
  'POST /v1/invitations': { allowed: 201, body: () => ({ email: email(), roles: ['viewer'] }) },
  'GET /v1/invitations': OK,
  'POST /v1/invitations/{id}/link': { of: 'invitation', allowed: 200 },
  'DELETE /v1/invitations/{id}': { of: 'invitation', spends: true, allowed: 200 },
  'GET /v1/roles': OK,
  'PUT /v1/roles/{name}': { given: { name: 'matrix-role' }, allowed: 200, body: () => ({ capabilities: ['me.read'] }) },
  'DELETE /v1/roles/{name}': { of: 'role', spends: true, allowed: 200 },
  'POST /v1/service-accounts': { allowed: 201, body: () => ({ id: name('robot'), roles: ['viewer'] }) },
  'GET /v1/service-accounts': OK,
  'PATCH /v1/service-accounts/{id}': { of: 'account', allowed: 200, body: () => ({ summary: 'Another' }) },
  'DELETE /v1/service-accounts/{id}': { of: 'account', spends: true, allowed: 200 },
  'POST /v1/service-accounts/{id}/keys': { of: 'account', allowed: 201, body: () => ({ capabilities: ['me.read'] }) },
  'POST /v1/api-keys': { allowed: 201, body: () => ({ capabilities: ['me.read'] }) },
  'GET /v1/api-keys': OK,
  'POST /v1/api-keys/{id}/rotate': { of: 'key', spends: true, allowed: 201 },
  'DELETE /v1/api-keys/{id}': { of: 'key', spends: true, allowed: 200 },
  'POST /v1/tokens': { allowed: 201 },
  'POST /v1/tokens/verify': { allowed: 200, body: () => ({ token: 'nonsense' }) },
  'POST /v1/tokens/revoke': { allowed: 200, body: () => ({ token: 'nonsense' }) },
  'POST /v1/tokens/keys/rotate': { allowed: 200 },
  'GET /v1/tenants': OK,
  'POST /v1/tenants': { allowed: 201, body: () => ({ id: name('tenant'), administrator: email() }) },
  'GET /v1/tenant': { allowed: 200 },
  'PATCH /v1/tenant': { allowed: 200 },
  'POST /v1/training/start': { allowed: 201 },
  'POST /v1/training/stop': { allowed: 200 },
  'GET /v1/training/{tenant}': { of: 'tenant', allowed: 200 },

  'GET /v1/constitution': OK,
  'GET /v1/constitution/rules': OK,
  // Holding the capability is not enough: only the platform's own processes may know of every tenant.
  'GET /v1/constitution/tenants': { allowed: [403, 'forbidden'] },
  'GET /v1/constitution/versions': OK,
  'GET /v1/constitution/versions/{version}': { of: 'version', allowed: 200 },
  'POST /v1/constitution/validate': { allowed: 200, body: rules },
  'POST /v1/constitution/diff': { allowed: 200, body: () => ({ to: rules() }) },
  'POST /v1/constitution/preview': { allowed: 200, body: () => ({ rules: rules() }) },
  'POST /v1/constitution/proposals': { allowed: 201, body: () => proposalOf(++numbers) },
  'GET /v1/constitution/proposals': OK,
  'GET /v1/constitution/proposals/{id}': { of: 'proposal', allowed: 200 },
  'POST /v1/constitution/proposals/{id}/publish': { of: 'proposal', spends: true, allowed: 201 },
  'POST /v1/constitution/proposals/{id}/withdraw': { of: 'proposal', spends: true, allowed: 200 },
  'POST /v1/evaluate': { allowed: 200, body: question },
  'POST /v1/explain': { allowed: 200, body: question },
  'POST /v1/score': { allowed: 200, body: question },
  'GET /v1/policies/{tenant}': { of: 'tenant', allowed: 200 },
  'PUT /v1/policies/{tenant}': { of: 'tenant', allowed: 202, body: () => proposalOf(++numbers) },
  'GET /v1/policies/{tenant}/bundle': { of: 'tenant', allowed: 200 },
  'POST /v1/policies/{tenant}/rules': {
    of: 'tenant',
    allowed: 202,
    body: () => ({
      rules: [{ id: `more-${++numbers}`, says: 'Nobody may do it.', applies: { actions: ['nothing.ever'] }, decide: 'deny' }],
      note: 'x',
    }),
  },

  'GET /v1/capsules': OK,
  'POST /v1/capsules': { allowed: 201, body: () => capsuleOf('matrix-posted', `1.0.${++numbers}`) },
  'GET /v1/capsules/{name}/{version}': { of: 'capsule', allowed: 200 },
  'POST /v1/capsules/{name}/{version}/sign': { of: 'capsule', allowed: 200 },
  'GET /v1/capsules/{name}/{version}/verified': { of: 'capsule', allowed: 200 },
  'GET /v1/plans': OK,
  'GET /v1/plans/{name}': { allowed: 200, given: { name: 'repository-health' } },
  'GET /v1/adapters': OK,
  'GET /v1/operations': OK,
  'GET /v1/operations/{operation}': { allowed: 200, given: { operation: 'files.write' } },
  'POST /v1/operations/{operation}/execute': {
    allowed: 200,
    given: { operation: 'files.write' },
    body: () => ({ input: { path: `${name('file')}.txt`, content: 'x' } }),
  },

  'POST /v1/projects': { allowed: 201, body: () => ({ template: 'nothing-like-it' }) },
  'GET /v1/projects': OK,
  'GET /v1/projects/{id}': { of: 'project', allowed: 200 },
  'POST /v1/projects/{id}/cancel': { of: 'project', spends: true, allowed: 202 },
  'GET /v1/projects/{id}/requeue': { of: 'project', allowed: 200 },
  'POST /v1/projects/{id}/requeue/{deliverable}/resolve': { of: 'project', allowed: 202, body: () => ({ resolution: 'retry' }) },
  'GET /v1/projects/{id}/report': { of: 'project', allowed: 404 },
  'GET /v1/projects/{id}/evidence': { of: 'project', allowed: 200 },
  'GET /v1/projects/{id}/events': { of: 'project', allowed: 200 },
  'POST /v1/runs': { allowed: 201, body: () => ({ capsule: 'matrix-short', version: '1.0.0' }) },
  'GET /v1/runs': OK,
  'GET /v1/runs/{id}': { of: 'run', allowed: 200 },
  'GET /v1/runs/{id}/history': { of: 'run', allowed: 200 },
  'POST /v1/runs/{id}/cancel': { of: 'run', spends: true, allowed: 202 },
  'POST /v1/runs/{id}/replay': { of: 'ended run', allowed: 200 },
  'POST /v1/runs/{id}/tokens': { of: 'run', allowed: 201 },
  'GET /v1/approvals': OK,
  'GET /v1/approvals/{id}': { of: 'approval', allowed: 200 },
  'POST /v1/approvals/{id}': { of: 'approval', spends: true, allowed: 200, body: () => ({ approve: true }) },
  'POST /v1/approval-delegations': { allowed: 201, body: () => ({ to: `user:${randomUUID()}`, endsAt: later(1) }) },
  'GET /v1/approval-delegations': OK,
  'DELETE /v1/approval-delegations/{id}': { of: 'delegation', spends: true, allowed: 200 },
  'GET /v1/notifications/events': OK,
  'POST /v1/webhooks': { allowed: 201, body: () => ({ url: 'https://example.org/hook' }) },
  'GET /v1/webhooks': OK,
  'POST /v1/webhooks/{id}/on': { of: 'webhook', allowed: 200 },
  'DELETE /v1/webhooks/{id}': { of: 'webhook', spends: true, allowed: 200 },
  'POST /v1/kill-switches': { allowed: 201, body: () => NOTHING_STOPPED },
  'GET /v1/kill-switches': OK,
  'POST /v1/kill-switches/drills': { allowed: 201, body: () => NOTHING_STOPPED },
  'POST /v1/kill-switches/{id}/lift': { of: 'switch', spends: true, allowed: 200 },

  'GET /v1/budgets': OK,
  'GET /v1/usage': OK,
  'PUT /v1/budgets/tenant': { allowed: 200, body: () => ({ calls: 1_000_000 }) },
  'GET /v1/analytics/summary': OK,
  'GET /v1/analytics/operations': OK,
  'GET /v1/kamachiq/runs': OK,
  'GET /v1/kamachiq/summary': OK,
}
