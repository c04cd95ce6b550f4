import { isAbsolute, relative, resolve } from 'node:path'
import type { BudgetAmount } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import type { Operation, OperationContext } from '@soma/contracts/operation'
import type { Action, Decision, PolicyInput } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'
import type { Journal } from '@soma/ports/journal/port'
import type { Objects } from '@soma/ports/objects/port'
import type { Approvals } from '../approvals/approvals.ts'
import type { Budgets } from '../budgets/budgets.ts'
import type { Egress } from '../egress/egress.ts'
import { type Gate, killSubject } from '../gate/gate.ts'
import type { KillSwitches } from '../kill/kill-switches.ts'
import { type ActionRecord, assertSameAction, type CompletedPayload, openActionRecord } from './action-record.ts'
import type { FoundOperation, Operations } from './operations.ts'

const DEFAULT_TIMEOUT_SECONDS = 60

/** One call of an operation, by a run's step, a person or an agent. */
export interface ActionRequest {
  operation: string
  input: unknown
  principal: Principal
  /** Idempotency key: two requests with one key are one action. */
  key: string
  /** True when the key may have been used before: after a crash, or on another attempt. */
  mayExist: boolean
  context: Partial<Omit<PolicyInput['context'], 'at'>>
  /** Budgets to charge, besides the tenant's. */
  budgets: readonly string[]
  /** Folder of the run's own, absolute. */
  workspace: string
  signal: AbortSignal
  onProgress?(message: string, fraction?: number): void
}

export interface ActionOutcome {
  output: unknown
  /** Labels of the output: those of the data that led to it, and `untrusted` when it came from outside. */
  labels: string[]
  spent: BudgetAmount
}

export interface ActionParts {
  operations: Operations
  gate: Gate
  kill: KillSwitches
  budgets: Budgets
  approvals: Approvals
  journal: Journal
  objects: Objects
  egress: Pick<Egress, 'fetch' | 'isException'>
}

export type PerformAction = (request: ActionRequest) => Promise<ActionOutcome>

/**
 * The one road of every action:
 * input checked → held while a kill switch covers it → gate → budget reserved → intent on disk (unless it only reads) → the call →
 * outcome on disk and budget settled. After a crash an intent without outcome is settled by the operation's own declaration, never by a blind
 * second call.
 * @throws `invalid_input`, `unknown_tool`, `forbidden`, `policy_denied`, `approval_required` (details.approval), `budget_exceeded`,
 *   `effect_undecided`, and what the operation throws
 */
export function createActions(parts: ActionParts): PerformAction {
  const { operations, gate, kill, budgets, approvals, journal } = parts

  const underWay = new Map<string, Promise<ActionOutcome>>()

  /** Two callers with one key in this process share one call. */
  return function performAction(request) {
    const place = `${request.principal.tenant}\n${request.key}`
    const known = underWay.get(place)
    if (known) return known
    const action = claimAndPerform(request).finally(() => underWay.delete(place))
    underWay.set(place, action)
    return action
  }

  async function claimAndPerform(request: ActionRequest): Promise<ActionOutcome> {
    try {
      return await walkTheRoad(request)
    } catch (error) {
      if (request.mayExist || !SomaError.is(error, 'stream_conflict')) throw error
      return walkTheRoad({ ...request, mayExist: true })
    }
  }

  async function walkTheRoad(request: ActionRequest): Promise<ActionOutcome> {
    const found = operations.find(request.operation)
    const { operation } = found
    const input = parseInput(operation, request.input)
    const action = describeAction(operation, input, request.workspace, parts.egress)
    const { tenant } = request.principal
    const record = await openActionRecord(journal, tenant, request.key, request.mayExist)
    if (record.last) {
      assertSameAction(record.last, operation.name)
      if (record.last.kind === 'action.completed') return outcomeOf(record.last.payload as CompletedPayload)
    }

    await waitWhileKilled(request, action, record, kill)
    const decision = await passGate(request, action, record)
    await reserve(request, record)
    try {
      return await perform(request, found, action, decision, record)
    } catch (error) {
      await budgets.release({ tenant, key: request.key })
      throw error
    }
  }

  async function passGate(request: ActionRequest, action: Action, record: ActionRecord): Promise<Decision> {
    const { principal, context } = request
    const granted = await approvals.granted(principal.tenant, context.approvals ?? [], {
      action: action.name,
      arguments: action.arguments,
      project: context.project,
      deliverable: context.deliverable,
    })
    try {
      return await gate.pass({ principal, action, context: { ...context, approvals: granted } })
    } catch (error) {
      if (!(error instanceof SomaError)) throw error
      const refused = error.code === 'approval_required' ? await askForApproval(request, action, error) : error
      await record.append('action.refused', {
        operation: request.operation,
        error: { code: refused.code, message: refused.message, details: refused.details },
      })
      throw refused
    }
  }

  async function askForApproval({ principal, context, key }: ActionRequest, action: Action, refused: SomaError): Promise<SomaError> {
    const approval = await approvals.request({
      tenant: principal.tenant,
      action: action.name,
      summary: refused.message,
      arguments: action.arguments,
      reasons: refused.details.reasons as Decision['reasons'],
      run: context.run ?? key,
      project: context.project,
      deliverable: context.deliverable,
    })
    return new SomaError('approval_required', refused.message, { ...refused.details, approval: approval.id })
  }

  async function reserve({ principal, key, budgets: named, operation }: ActionRequest, record: ActionRecord): Promise<void> {
    try {
      await budgets.reserve({ tenant: principal.tenant, key, budgets: [...named, `tenant/${principal.tenant}`], amount: { calls: 1 } })
    } catch (error) {
      if (SomaError.is(error, 'budget_exceeded'))
        await record.append('action.refused', { operation, error: { code: error.code, message: error.message, details: error.details } })
      throw error
    }
  }

  async function perform(
    request: ActionRequest,
    found: FoundOperation,
    action: Action,
    decision: Decision,
    record: ActionRecord,
  ): Promise<ActionOutcome> {
    const { operation, adapter } = found
    const input = action.arguments
    const changesTheWorld = operation.idempotency.kind !== 'read'
    const startedAt = performance.now()
    const timeout = AbortSignal.timeout((operation.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1000)
    const signal = AbortSignal.any([request.signal, timeout])
    const client = await operations.clientOf(adapter)
    const context = contextFor(request, client, signal)

    const complete = async (output: unknown, wasFound: boolean): Promise<ActionOutcome> => {
      const milliseconds = Math.round(performance.now() - startedAt)
      const spent: BudgetAmount = { calls: 1, seconds: milliseconds / 1000 }
      const labels = [...new Set([...(request.context.labels ?? []), ...(operation.untrustedOutput ? ['untrusted'] : [])])]
      const payload: CompletedPayload = {
        operation: operation.name,
        input,
        output,
        labels,
        decision,
        spent,
        milliseconds,
        ...(wasFound ? { found: true } : {}),
      }
      // Settling is flushed to disk by the append that follows it.
      await budgets.settle({ tenant: request.principal.tenant, key: request.key, actual: spent })
      await record.append('action.completed', payload)
      return outcomeOf(payload)
    }

    if (record.isUndecided) {
      const settled = await settleUndecided(request, operation, action, context)
      if (settled.happened) return complete(settled.output, true)
    }
    if (changesTheWorld) await record.append('action.intended', { operation: operation.name, input, decision, context: request.context })
    let output: unknown
    try {
      output = parseOutput(operation, await operation.run(input, context))
    } catch (error) {
      const told = explainTimeout(error, timeout, operation)
      // Read failures change nothing; a tool that knows that nothing happened says so.
      const happened = changesTheWorld && told.details.happened !== false ? undefined : false
      await record.append('action.failed', {
        operation: operation.name,
        input,
        error: { code: told.code, message: told.message, details: told.details },
        ...(happened === false ? { happened } : {}),
      })
      throw told
    }
    return complete(output, false)
  }

  async function settleUndecided(
    request: ActionRequest,
    operation: Operation,
    action: Action,
    context: OperationContext<unknown>,
  ): Promise<{ happened: true; output: unknown } | { happened: false }> {
    switch (operation.idempotency.kind) {
      case 'read':
      case 'native':
        return { happened: false }
      case 'marker': {
        const output = await operation.idempotency.find(action.arguments, context).catch(async (error) => {
          if (!SomaError.is(error, 'effect_undecided')) throw error
          await askWhetherToRepeat(request, action)
          return undefined
        })
        return output === undefined ? { happened: false } : { happened: true, output: parseOutput(operation, output) }
      }
      case 'none':
        await askWhetherToRepeat(request, action)
        return { happened: false }
    }
  }

  /** Only a person can find out what happened. An approval means: it did not happen, do it now. */
  async function askWhetherToRepeat(request: ActionRequest, action: Action): Promise<void> {
    const question: Action = { ...action, name: `repeat.${action.name}` }
    const granted = await approvals.granted(request.principal.tenant, request.context.approvals ?? [], {
      action: question.name,
      arguments: question.arguments,
    })
    if (granted.length > 0) return
    const text = `${action.name} may or may not have happened before an interruption, and there is no way to look. Find out by hand: approve to do it now, reject if it is done or must not be.`
    const refused = new SomaError('approval_required', text, {
      action: question.name,
      reasons: [{ rule: 'effect_undecided', text }],
      retryable: false,
    })
    throw await askForApproval(request, question, refused)
  }

  function contextFor(request: ActionRequest, client: unknown, signal: AbortSignal): OperationContext<unknown> {
    const { tenant } = request.principal
    return {
      client,
      tenant,
      key: request.key,
      signal,
      workspace: request.workspace,
      fetch: parts.egress.fetch,
      progress: request.onProgress ?? (() => undefined),
      objects: {
        put: (content, mediaType) => parts.objects.put(tenant, content, mediaType),
        get: (digest) => parts.objects.get(tenant, digest),
      },
    }
  }
}

function parseInput(operation: Operation, input: unknown): unknown {
  const parsed = operation.input.safeParse(input)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'input'}: ${issue.message}`)
  throw new SomaError('invalid_input', `${operation.name} does not take this input. ${problems.join('; ')}`, {
    operation: operation.name,
    problems,
    retryable: false,
  })
}

function parseOutput(operation: Operation, output: unknown): unknown {
  const parsed = operation.output.safeParse(output)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw new SomaError('tool_failed', `${operation.name} answered with another shape than it declares. ${problems.join('; ')}`, {
    operation: operation.name,
    problems,
    retryable: false,
  })
}

/** What policy is asked about. Whether a path lies in the run's own workspace, and whether an address was opened, only this place knows. */
function describeAction(operation: Operation, input: unknown, workspace: string, egress: Pick<Egress, 'isException'>): Action {
  const resource = { ...operation.resource?.(input) }
  if (typeof resource.path === 'string') {
    const inside = relative(workspace, resolve(workspace, resource.path))
    resource.inside_workspace = workspace !== '' && !inside.startsWith('..') && !isAbsolute(inside)
  }
  if (typeof resource.host === 'string') resource.egress_allowed = egress.isException(resource.host, Number(resource.port))
  return { name: `tool.${operation.name}`, capability: operation.capability, effect: operation.effect, resource, arguments: input }
}

async function waitWhileKilled(request: ActionRequest, action: Action, record: ActionRecord, kill: KillSwitches): Promise<void> {
  const subject = killSubject({ principal: request.principal, action, context: request.context })
  for (let held = kill.stopping(subject); held; held = kill.stopping(subject)) {
    await record.append('action.held', { operation: request.operation, killSwitch: held.id, reason: held.reason })
    request.onProgress?.(`held by kill switch: ${held.reason}`)
    await kill.whenLifted(subject, request.signal)
  }
}

function explainTimeout(error: unknown, timeout: AbortSignal, operation: Operation): SomaError {
  if (timeout.aborted && !(error instanceof SomaError && error.code !== 'internal')) {
    return new SomaError(
      'tool_timeout',
      `${operation.name} did not answer within ${operation.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS} seconds.`,
      { operation: operation.name },
      { cause: error },
    )
  }
  if (error instanceof SomaError) return error
  return new SomaError(
    'tool_failed',
    `${operation.name} failed: ${error instanceof Error ? error.message : error}`,
    { operation: operation.name },
    { cause: error },
  )
}

function outcomeOf({ output, labels, spent }: CompletedPayload): ActionOutcome {
  return { output, labels, spent }
}
