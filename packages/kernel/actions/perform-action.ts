import type { BudgetAmount } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { Operation, OperationContext } from '@soma/contracts/operation'
import type { Action, Decision, PolicyInput } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'
import type { Journal } from '@soma/ports/journal/port'
import type { Objects } from '@soma/ports/objects/port'
import type { Approval, Approvals } from '../approvals/approvals.ts'
import type { Budgets } from '../budgets/budgets.ts'
import type { Egress } from '../egress/egress.ts'
import { type Gate, killSubject } from '../gate/gate.ts'
import type { KillSwitches } from '../kill/kill-switches.ts'
import { type ActionRecord, assertSameAction, type CompletedPayload, openActionRecord, type RecordedCall } from './action-record.ts'
import { assertWanted, saysNothingHappened, withinLimits } from './deadline.ts'
import { describeAction, parseInput, parseOutput } from './describe-action.ts'
import type { FoundOperation, Operations } from './operations.ts'

const DEFAULT_TIMEOUT_SECONDS = 60
/**
 * What an action takes out of its budgets before it begins. How long it will be can't be known; the moment makes sure that none begins
 * when the time is used up.
 */
const RESERVED: BudgetAmount = { calls: 1, seconds: 0.001 }

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
  /** For the call itself, instead of what the operation declares. */
  timeoutSeconds?: number
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
 * @throws `invalid_input`, `unknown_tool`, `conflict`, `forbidden`, `policy_denied`, `approval_required` (details.approval),
 *   `budget_exceeded`, `effect_undecided`, `tool_timeout`, `cancelled`, and what the operation throws
 */
export function createActions(parts: ActionParts): PerformAction {
  const { operations, gate, kill, budgets, approvals, journal } = parts

  const underWay = new Map<string, { request: ActionRequest; outcome: Promise<ActionOutcome> }>()

  /** Two callers with one key in this process share one call. */
  return async function performAction(request) {
    const place = `${request.principal.tenant}\n${request.key}`
    const known = underWay.get(place)
    if (known) {
      assertSameAction(known.request, request)
      return known.outcome
    }
    const outcome = claimAndPerform(request).finally(() => underWay.delete(place))
    underWay.set(place, { request, outcome })
    return outcome
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
    const input = parseInput(found.operation, request.input)
    const action = await describeAction(found.operation, input, request.workspace, parts.egress)
    const { tenant } = request.principal
    const record = await openActionRecord(journal, tenant, request.key, request.mayExist)
    for (const entry of [record.undecided, record.last])
      if (entry) assertSameAction(entry.payload as RecordedCall, { operation: request.operation, input })
    if (record.last?.kind === 'action.completed') return outcomeOf(record.last.payload as CompletedPayload)

    const decision = await passGate(request, action, record)
    await reserve(request, record)
    try {
      return await perform(request, found, action, decision, record)
    } catch (error) {
      // Not why the action failed; what stays reserved is taken up by the next attempt with the key.
      await budgets.release({ tenant, key: request.key }).catch(() => undefined)
      throw error
    }
  }

  async function passGate(request: ActionRequest, action: Action, record: ActionRecord): Promise<Decision> {
    const { principal, context } = request
    let granted = await approvals.granted(principal.tenant, context.approvals ?? [], {
      action: action.name,
      arguments: action.arguments,
      project: context.project,
      deliverable: context.deliverable,
    })
    for (;;) {
      await waitWhileKilled(request, action, record, kill)
      try {
        return await gate.pass({ principal, action, context: { ...context, approvals: granted } })
      } catch (error) {
        if (!(error instanceof SomaError)) throw error
        if (error.code === 'killed') continue
        const approval = error.code === 'approval_required' ? await askForApproval(request, action, error) : undefined
        if (approval?.status === 'approved' && !granted.includes(approval.id)) {
          granted = [...granted, approval.id]
          continue
        }
        throw await refuse(request, record, approval ? unapproved(action, approval, error) : error)
      }
    }
  }

  function askForApproval({ principal, context, key }: ActionRequest, action: Action, refused: SomaError): Promise<Approval> {
    return approvals.request({
      tenant: principal.tenant,
      action: action.name,
      summary: refused.message,
      arguments: action.arguments,
      reasons: refused.details.reasons as Decision['reasons'],
      run: context.run ?? key,
      project: context.project,
      deliverable: context.deliverable,
    })
  }

  /** Puts the refusal on record and gives it back to be thrown. */
  async function refuse({ operation }: ActionRequest, record: ActionRecord, refused: SomaError): Promise<SomaError> {
    await record.append('action.refused', { operation, error: errorOf(refused) })
    return refused
  }

  async function reserve(request: ActionRequest, record: ActionRecord): Promise<void> {
    const { principal, key, budgets: named } = request
    try {
      await budgets.reserve({ tenant: principal.tenant, key, budgets: [...named, `tenant/${principal.tenant}`], amount: RESERVED })
    } catch (error) {
      throw SomaError.is(error, 'budget_exceeded') ? await refuse(request, record, error) : error
    }
  }

  async function perform(
    request: ActionRequest,
    { operation, adapter }: FoundOperation,
    action: Action,
    decision: Decision,
    record: ActionRecord,
  ): Promise<ActionOutcome> {
    const input = action.arguments
    const changesTheWorld = operation.idempotency.kind !== 'read'
    const limits = {
      operation: operation.name,
      seconds: request.timeoutSeconds ?? operation.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
      signal: request.signal,
    }
    const client = await operations.clientOf(adapter)
    const startedAt = performance.now()

    /** Settling is flushed to disk by the append that follows it. */
    const settle = async () => {
      const milliseconds = Math.round(performance.now() - startedAt)
      const spent: BudgetAmount = { calls: 1, seconds: milliseconds / 1000 }
      await budgets.settle({ tenant: request.principal.tenant, key: request.key, actual: spent })
      return { spent, milliseconds }
    }
    const complete = async (output: unknown, how: { found?: true }): Promise<ActionOutcome> => {
      const labels = [...new Set([...(request.context.labels ?? []), ...(operation.untrustedOutput ? ['untrusted'] : [])])]
      const payload: CompletedPayload = { operation: operation.name, input, output, labels, decision, ...(await settle()), ...how }
      await record.append('action.completed', payload)
      return outcomeOf(payload)
    }

    if (record.undecided) {
      const settled = await settleUndecided(request, operation, action, record.undecided, (work) =>
        withinLimits(limits, (signal) => work(contextFor(request, client, signal))),
      )
      if (settled.happened) return complete(settled.output, { found: true })
    }
    assertWanted(limits)
    if (changesTheWorld) await record.append('action.intended', { operation: operation.name, input, decision, context: request.context })
    let output: unknown
    try {
      output = await withinLimits(limits, async (signal) =>
        parseOutput(operation, await operation.run(input, contextFor(request, client, signal))),
      )
    } catch (error) {
      const told = error as SomaError
      const { spent } = await settle()
      const isWithoutEffect = !changesTheWorld || saysNothingHappened(told)
      await record.append('action.failed', {
        operation: operation.name,
        input,
        error: errorOf(told),
        spent,
        ...(isWithoutEffect ? { happened: false } : {}),
      })
      throw told
    }
    return complete(output, {})
  }

  async function settleUndecided(
    request: ActionRequest,
    operation: Operation,
    action: Action,
    intent: JournalEntry,
    look: <Result>(work: (context: OperationContext<unknown>) => Promise<Result>) => Promise<Result>,
  ): Promise<{ happened: true; output: unknown } | { happened: false }> {
    const { idempotency } = operation
    switch (idempotency.kind) {
      case 'read':
      case 'native':
        return { happened: false }
      case 'marker': {
        const output = await look((context) => idempotency.find(action.arguments, context)).catch(async (error) => {
          // There is a way to look, but not for this input.
          if (!SomaError.is(error, 'effect_undecided')) throw error
          await askWhetherToRepeat(request, action, intent)
          return undefined
        })
        return output === undefined ? { happened: false } : { happened: true, output: parseOutput(operation, output) }
      }
      case 'none':
        await askWhetherToRepeat(request, action, intent)
        return { happened: false }
    }
  }

  /**
   * Only a person can find out what happened. An approval means: it did not happen, do it now. It holds for this one intent; should
   * the next attempt be interrupted as well, it is asked again.
   */
  async function askWhetherToRepeat(request: ActionRequest, action: Action, intent: JournalEntry): Promise<void> {
    const question: Action = { ...action, name: `repeat.${action.name}`, arguments: { input: action.arguments, interrupted: intent.hash } }
    const text = `${action.name} may or may not have happened before an interruption, and there is no way to look. Find out by hand: approve to do it now, reject if it is done or must not be.`
    const reasons = [{ rule: 'effect_undecided', text }]
    const asked = new SomaError('approval_required', text, { action: question.name, reasons, retryable: false })
    const approval = await askForApproval(request, question, asked)
    if (approval.status === 'approved') return
    if (approval.status === 'pending') throw unapproved(question, approval, asked)
    throw new SomaError(
      'effect_undecided',
      `Whether ${action.name} happened is not known, and ${approval.decidedBy} decided not to do it again${approval.note ? `: ${approval.note}` : '.'}`,
      { approval: approval.id, retryable: false },
    )
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

async function waitWhileKilled(request: ActionRequest, action: Action, record: ActionRecord, kill: KillSwitches): Promise<void> {
  const subject = killSubject({ principal: request.principal, action, context: request.context })
  for (let held = kill.stopping(subject); held; held = kill.stopping(subject)) {
    await record.append('action.held', { operation: request.operation, killSwitch: held.id, reason: held.reason })
    request.onProgress?.(`held by kill switch: ${held.reason}`)
    await kill.whenLifted(subject, request.signal).catch((error) => {
      assertWanted(request)
      throw error
    })
  }
}

/** Nobody has answered yet, or the answer was no. */
function unapproved(action: Action, approval: Approval, asked: SomaError): SomaError {
  if (approval.status !== 'rejected') return new SomaError('approval_required', asked.message, { ...asked.details, approval: approval.id })
  return new SomaError('policy_denied', `${approval.decidedBy} rejected ${action.name}${approval.note ? `: ${approval.note}` : '.'}`, {
    ...asked.details,
    rejected: approval.id,
  })
}

function errorOf({ code, message, details }: SomaError) {
  return { code, message, details }
}

function outcomeOf({ output, labels, spent }: CompletedPayload): ActionOutcome {
  return { output, labels, spent }
}
