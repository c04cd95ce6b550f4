import { SomaError } from '@soma/contracts/errors'
import type { Decision, Effect } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'
import type { FastifyRequest, RouteOptions } from 'fastify'
import { type RunLabels, UNTRUSTED } from '../actions/run-labels.ts'
import type { GateRequest } from '../gate/gate-request.ts'

/** What a route does, as the gate is asked about it. */
export interface RouteAction {
  /** `http.projects.create`; also the operation's id in the OpenAPI document, so it is unique. */
  name: string
  /** What the caller must hold: `project.create`. */
  capability: string
  effect: Effect
  /** Answers anybody, without credentials and without the gate. */
  public?: true
  /**
   * Nothing in its answer was written outside the platform, or what was is labelled by the handler. Whatever else an agent is shown
   * marks its run as one that has read untrusted data.
   */
  answersOwnWords?: true
  /** Facts about what it acts on, for rules; the path's parameters by default. */
  resource?(request: FastifyRequest): Record<string, unknown>
}

/** Characters of a reason that are kept. */
const LONGEST_REASON = 500

/** Why, in the words of whoever asks: the header `Soma-Reason`. */
export function reasonOf({ headers }: Pick<FastifyRequest, 'headers'>): string | undefined {
  const reason = headers['soma-reason']
  return typeof reason === 'string' ? reason.slice(0, LONGEST_REASON) : undefined
}

/** The gate as HTTP asks it. Throws the SomaError that the caller gets when the answer is no. */
export type HttpGate = (request: GateRequest) => Promise<Decision>

declare module 'fastify' {
  interface FastifyContextConfig {
    action?: RouteAction
    /** Service that declared the route; set by the server. */
    service?: string
    /** `false`: the answer holds a secret, so it is never stored, and Idempotency-Key is refused. */
    idempotency?: false
  }
}

/**
 * Default deny: a route that does not say what it does is not served.
 * @throws `internal` that names the route
 */
export function actionOf(route: Pick<RouteOptions, 'method' | 'url' | 'config'>): RouteAction {
  const action = route.config?.action
  if (action?.name && action.capability && action.effect) return action
  throw new SomaError(
    'internal',
    `The route ${[route.method].flat().join(',')} ${route.url} does not say what it does. Give it config.action with name, capability and effect, so that the gate can be asked.`,
    { url: route.url },
  )
}

/** Asks the gate about a request. Anything but a clear yes is a no. */
export async function passGate(
  { gate, runLabels }: { gate: HttpGate; runLabels: RunLabels },
  action: RouteAction,
  principal: Principal,
  request: FastifyRequest,
): Promise<Decision> {
  const { name, capability, effect } = action
  const isAgent = principal.kind === 'agent'
  const reason = reasonOf(request)
  const context = isAgent ? { run: principal.run, labels: await runLabels.of(principal), reason } : { reason }
  const resource = action.resource?.(request) ?? (request.params as Record<string, unknown>)
  const decision = await gate({ principal, action: { name, capability, effect, resource: { ...resource } }, context })
  if (decision.verdict === 'allow') {
    if (isAgent && !action.answersOwnWords) await runLabels.add(principal, [UNTRUSTED], name)
    return decision
  }
  throw new SomaError('policy_denied', `Policy did not allow ${name}.`, {
    action: name,
    verdict: decision.verdict,
    reasons: decision.reasons,
  })
}
