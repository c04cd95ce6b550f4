import { findCycle } from '@soma/capsule/dag'
import { evaluatedParts, stepGraph } from '@soma/capsule/dependencies'
import { evaluateValue, referencesOf, type Scope } from '@soma/capsule/expression'
import { checkValue, withDefaults } from '@soma/capsule/json-schema'
import { allowsCapsule, allowsOperation, operationLimits, withinCapsule } from '@soma/capsule/permissions'
import type { ApprovalStep, Capsule, CapsuleStep, Step, ToolStep } from '@soma/contracts/capsule'
import {
  type ApprovalAnswer,
  type ApprovalRequestInput,
  type CallContext,
  type CapsuleResolveInput,
  type CapsuleResolveOutput,
  type CapsuleRunInput,
  type CapsuleRunResult,
  type CapsuleRunState,
  type StepState,
  stepKind,
  type ToolCallInput,
  type ToolCallOutput,
} from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import { defineWorkflow, type WorkflowContext } from '@soma/contracts/workflow'

/** Milliseconds that a call may be held by a kill switch; the call itself has its own, much shorter time. */
const LONGEST_HOLD = 20 * 24 * 60 * 60 * 1000
const MAX_NESTING = 8
const DEFAULT_CONCURRENCY = 8
const MAX_ITEMS = 10_000
/** One call may need several people, but not forever. */
const MAX_APPROVALS_OF_A_CALL = 10

/** A step's output and the labels of the data it was made from. */
interface Produced {
  output: unknown
  labels: string[]
}

/** Everything a step's work needs to know of the run it is in. */
interface Run {
  context: WorkflowContext
  input: CapsuleRunInput
  capsule: Capsule
  reference: string
  inputs: unknown
  principal: Principal
  limits: string[][]
  produced: Map<string, Produced>
  /** Answers asked for, by approval: steps that ask for exactly the same wait for one answer. */
  answers: Map<string, Promise<ApprovalAnswer>>
  board: Board
}

/** One piece of work of a step: the step itself, or one item of its `map`. */
interface Work {
  /** The step's id, or `id[index]`. */
  name: string
  scope: Scope
  labels: string[]
}

/**
 * Runs a capsule: each step as soon as the steps it needs have ended, `map` steps item by item.
 * @throws SomaError with the code of what failed, its sentence naming the step; `details.step`
 */
export const capsuleWorkflow = defineWorkflow({ name: 'capsule', module: import.meta.url, run: runWholeCapsule })

async function runWholeCapsule(context: WorkflowContext, input: CapsuleRunInput): Promise<CapsuleRunResult> {
  const run = openRun(context, input)
  const { steps } = run.capsule
  const graph = stepGraph(steps)
  const cycle = findCycle(graph)
  if (cycle)
    throw new SomaError('capsule_invalid', `Steps of ${run.reference} need each other in a circle: ${cycle.join(' → ')}.`, { cycle })

  run.board.publish()
  const ended = new Map<string, Promise<void>>()
  const start = (id: string): Promise<void> => {
    const known = ended.get(id)
    if (known) return known
    const step = steps.find((each) => each.id === id) as Step
    const needs = (graph.get(id) ?? []).filter((need) => graph.has(need))
    const end = Promise.all(needs.map(start)).then(() => runStep(run, step))
    ended.set(id, end)
    return end
  }
  try {
    await context.all(steps.map((step) => () => start(step.id)))
    const output = evaluateValue(run.capsule.outputs.value, scopeOf(run), `outputs of ${run.reference}`)
    if (run.capsule.outputs.schema) checkValue(run.capsule.outputs.schema, output, `The output of ${run.reference}`)
    run.board.end('done')
    return { output, labels: labelsOf(run, [run.capsule.outputs.value]) }
  } catch (error) {
    run.board.end(isCancellation(error) ? 'cancelled' : 'failed')
    throw error
  }
}

function openRun(context: WorkflowContext, input: CapsuleRunInput): Run {
  const { capsule } = input
  const reference = `${capsule.metadata.name}@${capsule.metadata.version}`
  const limits = operationLimits(capsule, input.limits)
  if (limits.length > MAX_NESTING)
    throw new SomaError(
      'capsule_invalid',
      `${reference} would run ${limits.length} capsules deep; at the most ${MAX_NESTING} may be nested.`,
    )
  const inputs = withDefaults(capsule.inputs, input.inputs)
  checkValue(capsule.inputs, inputs, `What ${reference} got as inputs`)
  return {
    context,
    input,
    capsule,
    reference,
    inputs,
    principal: withinCapsule(input.principal, capsule),
    limits,
    produced: new Map(),
    answers: new Map(),
    board: openBoard(context, capsule, reference),
  }
}

async function runStep(run: Run, step: Step): Promise<void> {
  // Another step failed or the run was cancelled: nothing new is begun.
  if (run.board.hasEnded()) return
  const scope = scopeOf(run)
  const labels = labelsOf(run, evaluatedParts(step))
  const place = `step "${step.id}"`
  try {
    if (step.when !== undefined && !isWanted(evaluateValue(step.when, scope, `${place}, when`), step)) {
      run.produced.set(step.id, { output: null, labels })
      run.board.set(step.id, 'skipped', `Skipped: ${step.when} is not true.`)
      return
    }
    run.board.set(step.id, 'running')
    const produced =
      step.map === undefined ? await perform(run, step, { name: step.id, scope, labels }) : await runItems(run, step, scope, labels)
    run.produced.set(step.id, produced)
    run.board.set(step.id, 'done')
  } catch (error) {
    if (run.board.hasEnded()) return
    const failure = named(error, step.id)
    if (isCancellation(failure)) throw failure
    run.board.set(step.id, 'failed', failure.message)
    if (step.onError === 'fail' || !canGoOnAfter(failure)) throw failure
    run.produced.set(step.id, { output: null, labels })
  }
}

function isWanted(value: unknown, step: Step): boolean {
  if (typeof value === 'boolean') return value
  throw new SomaError('expression_invalid', `"when" must be true or false; ${step.when} gives ${JSON.stringify(value)}.`)
}

async function runItems(run: Run, step: Step, scope: Scope, labels: string[]): Promise<Produced> {
  const items = evaluateValue(step.map, scope, `step "${step.id}", map`)
  if (!Array.isArray(items)) throw new SomaError('expression_invalid', `"map" must give a list; ${step.map} does not.`)
  if (items.length > MAX_ITEMS)
    throw new SomaError('expression_invalid', `"map" gives ${items.length} items; at the most ${MAX_ITEMS} are run.`)
  run.board.count(step.id, { total: items.length })
  const tasks = items.map((item: unknown, index) => async (): Promise<Produced> => {
    if (run.board.hasEnded()) return { output: null, labels: [] }
    try {
      const produced = await perform(run, step, { name: `${step.id}[${index}]`, scope: { ...scope, item, index }, labels })
      run.board.count(step.id, { done: 1 })
      return produced
    } catch (error) {
      run.board.count(step.id, { failed: 1 })
      const failure = named(error, `${step.id}[${index}]`)
      namedItems.add(failure)
      if (step.onError === 'fail' || !canGoOnAfter(failure)) throw failure
      return { output: null, labels: [] }
    }
  })
  const produced = await run.context.all(tasks, { concurrency: step.concurrency ?? DEFAULT_CONCURRENCY })
  return { output: produced.map((each) => each.output), labels: union(labels, ...produced.map((each) => each.labels)) }
}

function perform(run: Run, step: Step, work: Work): Promise<Produced> {
  if ('tool' in step) return callTool(run, step, work)
  if ('capsule' in step) return runCapsule(run, step, work)
  if ('approval' in step) return askApproval(run, step, work)
  return Promise.resolve({ output: evaluateValue(step.value, work.scope, `step "${work.name}", value`), labels: work.labels })
}

/** Calls the tool; when a person must agree first, waits for the answer and calls again with the approval. */
async function callTool(run: Run, step: ToolStep, work: Work): Promise<Produced> {
  if (!allowsOperation(run.limits, step.tool))
    throw new SomaError('forbidden', `${step.tool} is outside of the permissions of ${run.reference} or of a capsule around it.`, {
      operation: step.tool,
    })
  const call: ToolCallInput = {
    operation: step.tool,
    input: evaluateValue(step.with, work.scope, `step "${work.name}", with`) as Record<string, unknown>,
    principal: run.principal,
    context: { ...callContext(run, work), approvals: [...(run.input.approvals ?? [])] },
    budgets: run.input.budgets,
    workspace: run.input.workspace,
    timeoutSeconds: step.timeout,
  }
  for (;;) {
    stopIfEnded(run)
    try {
      const answer = await run.context.activity<ToolCallOutput>('tool.call', call, {
        label: work.name,
        timeoutMilliseconds: LONGEST_HOLD,
        retry: step.retry && { attempts: step.retry.attempts, backoffMilliseconds: step.retry.backoffSeconds * 1000 },
      })
      return { output: answer.output, labels: union(work.labels, answer.labels) }
    } catch (error) {
      const approval = SomaError.is(error, 'approval_required') ? error.details.approval : undefined
      if (typeof approval !== 'string' || call.context.approvals.length - (run.input.approvals ?? []).length === MAX_APPROVALS_OF_A_CALL)
        throw error
      run.board.set(step.id, 'waiting', (error as SomaError).message)
      await awaitApproval(run, approval)
      run.board.set(step.id, 'running')
      call.context = { ...call.context, approvals: [...call.context.approvals, approval] }
    }
  }
}

async function runCapsule(run: Run, step: CapsuleStep, work: Work): Promise<Produced> {
  if (!allowsCapsule(run.capsule.permissions.capsules, step.capsule))
    throw new SomaError('forbidden', `${step.capsule} is outside of the permissions of ${run.reference}.`, { capsule: step.capsule })
  const inputs = evaluateValue(step.with, work.scope, `step "${work.name}", with`) as Record<string, unknown>
  const parent = { run: run.context.runId, step: work.name }
  const request: CapsuleResolveInput = { reference: step.capsule, tenant: run.context.tenant, ...parent }
  const resolved = await run.context.activity<CapsuleResolveOutput>('capsule.resolve', request, { label: work.name })
  stopIfEnded(run)
  const { project, deliverable, workspace, budgets } = run.input
  const child: CapsuleRunInput = {
    capsule: resolved.capsule,
    digest: resolved.digest,
    inputs,
    principal: run.principal,
    project,
    deliverable,
    workspace,
    budgets: resolved.budget === undefined ? budgets : [...budgets, resolved.budget],
    labels: work.labels,
    approvals: run.input.approvals,
    parent,
    callers: [...(run.input.callers ?? []), run.reference],
    limits: run.limits,
  }
  const { output, labels } = await run.context.child<CapsuleRunResult>('capsule', child)
  return { output, labels: union(work.labels, labels) }
}

async function askApproval(run: Run, step: ApprovalStep, work: Work): Promise<Produced> {
  const message = evaluateValue(step.approval.message, work.scope, `step "${work.name}", approval`)
  const request: ApprovalRequestInput = {
    message: typeof message === 'string' ? message : JSON.stringify(message),
    principal: run.principal,
    context: callContext(run, work),
    expiresSeconds: step.approval.expiresSeconds,
  }
  const { id } = await run.context.activity<{ id: string }>('approval.request', request, { label: work.name })
  run.board.set(step.id, 'waiting', request.message)
  const answer = await awaitApproval(run, id)
  return { output: answer, labels: work.labels }
}

function awaitApproval(run: Run, id: string): Promise<ApprovalAnswer> {
  const asked = run.answers.get(id) ?? waitForAnswer(run, id)
  run.answers.set(id, asked)
  return asked
}

/**
 * Whoever keeps the approval also says when its time is over, so that an answer at the last moment and the end can't both count.
 * @throws SomaError `policy_denied` when a person says no, `approval_required` when nobody answered in time
 */
async function waitForAnswer(run: Run, id: string): Promise<ApprovalAnswer> {
  const answer = (await run.context.waitForSignal<ApprovalAnswer>(`approval:${id}`)) as ApprovalAnswer
  if (answer.expired) throw new SomaError('approval_required', `Nobody answered the approval ${id} in time.`, { expired: id })
  if (!answer.approved) {
    const reason = answer.reason ? `: ${answer.reason}` : '.'
    throw new SomaError('policy_denied', `${answer.by} rejected the approval ${id}${reason}`, {
      rejected: id,
      by: answer.by,
      reason: answer.reason,
    })
  }
  return answer
}

function callContext(run: Run, work: Work): CallContext {
  const { project, deliverable, callers } = run.input
  return { run: run.context.runId, step: work.name, capsule: run.reference, callers, project, deliverable, labels: work.labels }
}

function scopeOf(run: Run): Scope {
  return { inputs: run.inputs, steps: Object.fromEntries([...run.produced].map(([id, { output }]) => [id, output])) }
}

/** Labels of the run's inputs and of every step that the expressions use. */
function labelsOf(run: Run, parts: unknown[]): string[] {
  const used = referencesOf(parts).flatMap(({ root, name }) =>
    root === 'steps' && name !== undefined ? (run.produced.get(name)?.labels ?? []) : [],
  )
  return union(run.input.labels ?? [], used)
}

function union(...lists: readonly string[][]): string[] {
  return [...new Set(lists.flat())].sort()
}

/** Errors of items, named `scan[3]` already, so that `scan` adds nothing. */
const namedItems = new WeakSet<SomaError>()

/** The same error with the step in its sentence, and in its details. */
function named(error: unknown, name: string): SomaError {
  const known = error instanceof SomaError ? error : new SomaError('internal', error instanceof Error ? error.message : String(error))
  if (isCancellation(known) || namedItems.has(known)) return known
  return new SomaError(known.code, `Step "${name}": ${known.message}`, { ...known.details, step: name }, { cause: error })
}

function isCancellation(error: unknown): boolean {
  return SomaError.is(error, 'cancelled')
}

/** What goes on beside a step that failed must not begin anything more. */
function stopIfEnded(run: Run): void {
  if (run.board.hasEnded()) throw new SomaError('cancelled', `${run.reference} has ended.`)
}

/** A stop that was ordered from outside is not the step's own failure. */
function canGoOnAfter(failure: SomaError): boolean {
  return !['cancelled', 'killed', 'workflow_nondeterministic', 'effect_undecided', 'shutting_down'].includes(failure.code)
}

/** The state that the run shows, published after each change. */
interface Board {
  publish(): void
  set(id: string, status: StepState['status'], message?: string): void
  count(id: string, change: { total?: number; done?: number; failed?: number }): void
  end(status: CapsuleRunState['status']): void
  hasEnded(): boolean
}

function openBoard(context: WorkflowContext, capsule: Capsule, reference: string): Board {
  let status: CapsuleRunState['status'] = 'running'
  const steps = new Map<string, StepState>(
    capsule.steps.map((step) => [step.id, { id: step.id, title: step.title ?? step.id, kind: stepKind(step), status: 'pending' }]),
  )
  const at = () => new Date(context.now()).toISOString()
  const publish = () => context.publishState({ capsule: reference, status, steps: [...steps.values()] } satisfies CapsuleRunState)
  const change = (id: string, fields: Partial<StepState>) => steps.set(id, { ...(steps.get(id) as StepState), ...fields })
  return {
    publish,
    set(id, next, message) {
      if (status !== 'running') return
      const { startedAt } = steps.get(id) as StepState
      const isOpen = next === 'running' || next === 'waiting'
      change(id, { status: next, message, startedAt: startedAt ?? at(), ...(isOpen ? {} : { endedAt: at() }) })
      publish()
    },
    count(id, { total, done = 0, failed = 0 }) {
      if (status !== 'running') return
      const before = (steps.get(id) as StepState).items ?? { total: 0, done: 0, failed: 0 }
      change(id, { items: { total: total ?? before.total, done: before.done + done, failed: before.failed + failed } })
      publish()
    },
    end(next) {
      status = next
      const message = next === 'cancelled' ? 'The run was cancelled.' : 'Not finished: another step failed.'
      for (const step of steps.values()) {
        if (step.status === 'pending') change(step.id, { status: 'cancelled', message })
        if (step.status === 'running' || step.status === 'waiting') change(step.id, { status: 'cancelled', message, endedAt: at() })
      }
      publish()
    },
    hasEnded: () => status !== 'running',
  }
}
