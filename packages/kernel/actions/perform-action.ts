import type { BudgetAmount } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { Operation, OperationContext } from '@soma/contracts/operation'
import type { Journal } from '@soma/ports/journal/port'
import type { Objects } from '@soma/ports/objects/port'
import type { Approvals } from '../approvals/approvals.ts'
import { APPROVAL_STREAMS } from '../approvals/follow-approvals.ts'
import type { Budgets } from '../budgets/budgets.ts'
import type { Egress } from '../egress/egress.ts'
import { type Gate, killSubject } from '../gate/gate.ts'
import type { KillSwitch } from '../kill/kill-switch.ts'
import type { KillSwitches } from '../kill/kill-switches.ts'
import type { RunningCall } from '../kill/running-actions.ts'
import { type ActionRecord, assertSameAction, type CompletedPayload, openActionRecord, type RecordedCall } from './action-record.ts'
import type { ActionRequest } from './action-request.ts'
import { type ActionInQuestion, type Clearance, clearAction, clearRepetition, refuse } from './clear-action.ts'
import { assertWanted, saysNothingHappened, withinLimits } from './deadline.ts'
import { describeAction, parseInput, parseOutput } from './describe-action.ts'
import { dryRunRefusal } from './duties.ts'
import type { FoundOperation, Operations } from './operations.ts'
import { untrustedFrom } from './run-labels.ts'

const DEFAULT_TIMEOUT_SECONDS = 60
/**
 * What an action takes out of its budgets before it begins. How long it will be can't be known; the moment makes sure that none begins
 * when the time is used up.
 */
const RESERVED: BudgetAmount = { calls: 1, seconds: 0.001 }

export interface ActionOutcome {
  output: unknown
  /** Labels of the output: those of the data that led to it, and `untrusted` when it came from outside, without what a rule declassified. */
  labels: string[]
  spent: BudgetAmount
  /** True when a rule let it happen only as a dry run: nothing was done, and the output is what would have been. */
  dryRun?: true
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
 * second call. A kill switch that is pulled meanwhile ends the call, if that can be, and it is made again when the switch is lifted; else
 * the record says that it came to its end after the switch.
 * @throws `invalid_input`, `unknown_tool`, `conflict`, `forbidden`, `policy_denied`, `approval_required` (details.approval),
 *   `budget_exceeded`, `effect_undecided`, `tool_timeout`, `cancelled`, `killed` when it is to be refused, and what the operation throws
 */
export function createActions(parts: ActionParts): PerformAction {
  const { operations, budgets, journal, kill } = parts

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
      // The call was ended in its midst. It is looked at again like one that a crash interrupted, and held while the switch holds.
      if (SomaError.is(error, 'killed') && request.whenKilled !== 'refuse') return claimAndPerform({ ...request, mayExist: true })
      if (!SomaError.is(error, 'stream_conflict')) throw error
      // Another action was faster to use the approval: now that is seen, and it is asked anew.
      const lostApproval = String(error.details.stream).startsWith(APPROVAL_STREAMS)
      if (request.mayExist && !lostApproval) throw error
      return claimAndPerform({ ...request, mayExist: true })
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

    const question: ActionInQuestion = { request, action, record, reversedBy: found.operation.reversedBy }
    const clearance = await clearAction(parts, question)
    const untryable = dryRunRefusal(clearance.duties, found.operation)
    if (untryable) throw await refuse(request, record, untryable)
    await reserve(request, record)
    try {
      return await perform(question, found, clearance)
    } catch (error) {
      // Not why the action failed; what stays reserved is taken up by the next attempt with the key.
      await budgets.release({ tenant, key: request.key }).catch(() => undefined)
      throw error
    }
  }

  async function reserve(request: ActionRequest, record: ActionRecord): Promise<void> {
    const { principal, key, budgets: named } = request
    try {
      await budgets.reserve({ tenant: principal.tenant, key, budgets: [...named, `tenant/${principal.tenant}`], amount: RESERVED })
    } catch (error) {
      throw SomaError.is(error, 'budget_exceeded') ? await refuse(request, record, error) : error
    }
  }

  /** @throws `killed` when a switch keeps the call from beginning, or ends it in its midst */
  async function perform(question: ActionInQuestion, found: FoundOperation, clearance: Clearance): Promise<ActionOutcome> {
    const { request, action } = question
    const { name, idempotency, canBeEnded } = found.operation
    const subject = killSubject({ principal: request.principal, action, context: request.context })
    const call = kill.begin({ subject, operation: name, key: request.key, canBeEnded: idempotency.kind === 'read' || canBeEnded === true })
    try {
      // One that was pulled since the gate was passed.
      kill.assertRunning(subject)
      return await performCall(question, found, clearance, call)
    } finally {
      call.end()
    }
  }

  async function performCall(
    question: ActionInQuestion,
    { operation, adapter }: FoundOperation,
    { decision, duties, use }: Clearance,
    call: RunningCall,
  ): Promise<ActionOutcome> {
    const { request, action, record } = question
    const input = action.arguments
    const changesTheWorld = operation.idempotency.kind !== 'read' && !duties.isDryRun
    /** What every entry about the call says. */
    const told = {
      operation: operation.name,
      input: duties.shownArguments(input),
      ...(duties.redactedArguments.length > 0 && { redacted: duties.redactedArguments }),
    }
    const limits = {
      operation: operation.name,
      seconds: request.timeoutSeconds ?? operation.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
      signal: AbortSignal.any([request.signal, call.signal]),
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
    /** What came to its end although a switch was pulled meanwhile. */
    const stopped = () => (call.stoppedBy() ? { afterKillSwitch: call.stoppedBy()?.id } : {})
    const complete = async (output: unknown, how: { found?: true }): Promise<ActionOutcome> => {
      const ownLabels = operation.untrustedOutput ? [untrustedFrom(adapter)] : []
      const { labels, declassified } = duties.relabel([...new Set([...(request.context.labels ?? []), ...ownLabels])])
      const payload: CompletedPayload = {
        ...told,
        output: duties.shownOutput(output),
        labels,
        ...(declassified.length > 0 && { declassified }),
        ...(duties.isDryRun && { dryRun: true as const }),
        decision,
        ...(await settle()),
        ...how,
        ...stopped(),
      }
      await record.append('action.completed', payload)
      return outcomeOf(payload)
    }

    let uses = use
    if (record.undecided) {
      const settled = await settleUndecided({ ...question, duties }, operation, record.undecided, (work) =>
        withinLimits(limits, (signal) => work(contextFor(request, client, signal))),
      )
      if (settled.happened) return complete(settled.output, { found: true })
      uses = [...use, ...settled.use]
    }
    assertWanted(limits)
    if (changesTheWorld) await record.append('action.intended', { ...told, decision, context: request.context }, uses)
    else if (uses.length > 0 && !duties.isDryRun) await journal.append(...uses)
    const work = (context: OperationContext<unknown>) =>
      duties.isDryRun ? operation.dryRun?.(input, context) : operation.run(input, context)
    let output: unknown
    try {
      output = await withinLimits(limits, async (signal) => parseOutput(operation, await work(contextFor(request, client, signal))))
    } catch (error) {
      const failure = error as SomaError
      const { spent } = await settle()
      const isWithoutEffect = !changesTheWorld || saysNothingHappened(failure)
      const payload = { ...told, spent, ...(isWithoutEffect ? { happened: false } : {}) }
      if (call.signal.aborted) {
        const { id: killSwitch, reason } = call.stoppedBy() as KillSwitch
        await record.append('action.interrupted', { ...payload, killSwitch, reason })
        throw call.signal.reason
      }
      await record.append('action.failed', { ...payload, error: errorOf(failure), ...stopped() })
      throw failure
    }
    return complete(output, {})
  }

  async function settleUndecided(
    question: ActionInQuestion & Pick<Clearance, 'duties'>,
    operation: Operation,
    intent: JournalEntry,
    look: <Result>(work: (context: OperationContext<unknown>) => Promise<Result>) => Promise<Result>,
  ): Promise<{ happened: true; output: unknown } | { happened: false; use: Clearance['use'] }> {
    const { idempotency } = operation
    switch (idempotency.kind) {
      case 'read':
      case 'native':
        return { happened: false, use: [] }
      case 'marker': {
        try {
          const output = await look((context) => idempotency.find(question.action.arguments, context))
          if (output !== undefined) return { happened: true, output: parseOutput(operation, output) }
          return { happened: false, use: [] }
        } catch (error) {
          // There is a way to look, but not for this input.
          if (!SomaError.is(error, 'effect_undecided')) throw error
          return { happened: false, use: await clearRepetition(parts, question, intent.hash, question.duties) }
        }
      }
      case 'none':
        return { happened: false, use: await clearRepetition(parts, question, intent.hash, question.duties) }
    }
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

function errorOf({ code, message, details }: SomaError) {
  return { code, message, details }
}

function outcomeOf({ output, labels, spent, dryRun }: CompletedPayload): ActionOutcome {
  return { output, labels, spent, ...(dryRun && { dryRun }) }
}
