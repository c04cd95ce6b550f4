import { wavesOf } from '@soma/capsule/dag'
import type { BudgetAmount } from '@soma/contracts/budget'
import type { CapsuleResolveOutput, CapsuleRunInput, CapsuleRunResult } from '@soma/contracts/capsule-run'
import type { SomaError } from '@soma/contracts/errors'
import type { Deliverable, DeliverableState, GovernanceVerdict, Plan, Project, ProjectStatus } from '@soma/contracts/project'
import type {
  AgentTaskInput,
  AgentTaskResult,
  DeliverableGateInput,
  DeliverableGateOutput,
  PlannedProject,
  ProjectFacts,
  ProjectRunInput,
  ProjectWord,
  ProvisionInput,
  ProvisionOutput,
} from '@soma/contracts/project-run'
import { defineWorkflow, type WorkflowContext } from '@soma/contracts/workflow'

/** Milliseconds after which what policy blocked is asked about again. */
const REQUEUE_EVERY = 60 * 60_000
const MOST_AT_ONCE = 4
const REVIEW_CAPSULE = 'kamachiq_governance_review@1.0.0'

/** A deliverable on its way. */
interface Work {
  deliverable: Deliverable
  state: DeliverableState
  approval?: string
  /** Approvals given for it. */
  approvals: string[]
  result?: AgentTaskResult
}

interface Run {
  context: WorkflowContext
  input: ProjectRunInput
  plan: Plan
  inputs: Record<string, unknown>
  works: Map<string, Work>
  workspace: string
  /** A copy for readers is published after each change. */
  project: Project
  round: number
}

/**
 * KAMACHIQ: brief → plan → gate per deliverable → provision → waves → review → report. What policy blocks and what waits for a person
 * is kept: the project reports what could be done, then waits and goes on when a word comes.
 */
export const projectWorkflow = defineWorkflow({ name: 'project', module: import.meta.url, run: runProject })

async function runProject(context: WorkflowContext, input: ProjectRunInput): Promise<Project> {
  const run = openRun(context, input)
  try {
    await plan(run)
    await gateAll(run)
    await provision(run)
    const words = listenForWords(run)
    for (;;) {
      await runWaves(run)
      await review(run)
      await report(run)
      if (!isOpen(run)) break
      setStatus(run, 'waiting')
      await words.next(REQUEUE_EVERY)
      await regateBlocked(run)
    }
    return end(run, [...run.works.values()].some((work) => work.state.status === 'failed') ? 'failed' : 'done')
  } catch (error) {
    const failure = error as SomaError
    const isCancelled = failure.code === 'cancelled'
    for (const work of run.works.values()) if (!hasEnded(work)) change(run, work, { status: 'cancelled' })
    run.project.error = isCancelled ? undefined : { code: failure.code ?? 'internal', message: failure.message }
    end(run, isCancelled ? 'cancelled' : 'failed')
    throw error
  }
}

function openRun(context: WorkflowContext, input: ProjectRunInput): Run {
  const project: Project = {
    id: input.id,
    tenant: input.tenant,
    name: input.name,
    brief: input.brief,
    status: 'planning',
    createdAt: new Date(context.now()).toISOString(),
    inputs: input.inputs,
    deliverables: [],
    budget: { limit: {}, spent: {} },
  }
  context.publishState(project)
  return { context, input, project, works: new Map(), workspace: '', inputs: input.inputs, plan: undefined as unknown as Plan, round: 0 }
}

async function plan(run: Run): Promise<void> {
  const planned = await run.context.activity<PlannedProject>(
    'project.plan',
    { source: run.input.source, inputs: run.input.inputs, tenant: run.input.tenant },
    { label: 'plan' },
  )
  run.plan = planned.plan
  run.inputs = planned.inputs
  run.project.inputs = planned.inputs
  run.project.budget.limit = planned.plan.budget
  const waves = wavesOf(new Map(planned.plan.deliverables.map(({ id, dependencies }) => [id, dependencies])))
  for (const [index, wave] of waves.entries()) {
    for (const id of wave) {
      const deliverable = planned.plan.deliverables.find((each) => each.id === id) as Deliverable
      const state: DeliverableState = {
        id,
        title: deliverable.title,
        persona: deliverable.persona,
        status: 'planned',
        wave: index + 1,
        spent: {},
        rounds: 0,
      }
      run.works.set(id, { deliverable, state, approvals: [] })
    }
  }
  setStatus(run, 'gating')
}

async function gateAll(run: Run): Promise<void> {
  await run.context.all([...run.works.values()].map((work) => () => gate(run, work)))
}

/** Asks policy about a deliverable; what it says is the deliverable's status. */
async function gate(run: Run, work: Work): Promise<void> {
  const question: DeliverableGateInput = {
    project: run.input.id,
    deliverable: work.deliverable,
    principal: run.input.principal,
    approvals: work.approvals,
  }
  const { decision, approval } = await run.context.activity<DeliverableGateOutput>('deliverable.gate', question, {
    label: `gate ${work.deliverable.id}`,
  })
  work.approval = approval
  const message = decision.reasons.map((reason) => reason.text).join(' ')
  if (decision.verdict === 'allow') change(run, work, { status: 'waiting', decision, message: undefined })
  else if (decision.verdict === 'deny') change(run, work, { status: 'blocked', decision, message })
  else change(run, work, { status: 'awaiting_approval', decision, message })
}

async function provision(run: Run): Promise<void> {
  setStatus(run, 'provisioning')
  const { id } = run.input
  const budgets = [
    { id: `project/${id}`, limit: run.plan.budget },
    ...run.plan.deliverables.map((deliverable) => ({ id: `project/${id}/${deliverable.id}`, limit: limitOf(deliverable) })),
  ]
  const request = (dryRun: boolean): ProvisionInput => ({ project: id, dryRun, budgets })
  await run.context.activity<ProvisionOutput>('project.provision', request(true), { label: 'provision (dry run)' })
  const { workspace } = await run.context.activity<ProvisionOutput>('project.provision', request(false), { label: 'provision' })
  run.workspace = workspace
}

function limitOf(deliverable: Deliverable): BudgetAmount {
  return { ...deliverable.budget, tokens: deliverable.budget_tokens }
}

async function runWaves(run: Run): Promise<void> {
  for (;;) {
    await regateApproved(run)
    skipWhatCanNotBe(run)
    const wave = [...run.works.values()].filter((work) => work.state.status === 'waiting' && dependenciesEnded(run, work))
    if (wave.length === 0) return
    setStatus(run, 'running')
    await run.context.all(
      wave.map((work) => () => make(run, work)),
      { concurrency: MOST_AT_ONCE },
    )
  }
}

/** A dependency that may still be made keeps its dependents waiting; one that never will be makes them skipped. */
function skipWhatCanNotBe(run: Run): void {
  for (let changed = true; changed; ) {
    changed = false
    for (const work of run.works.values()) {
      if (work.state.status !== 'waiting' || work.deliverable.tolerates_missing) continue
      const missing = work.deliverable.dependencies.find((id) => ['failed', 'rejected', 'skipped', 'cancelled'].includes(statusOf(run, id)))
      if (missing === undefined) continue
      change(run, work, { status: 'skipped', message: `It needs "${missing}", which was not made.` })
      changed = true
    }
  }
}

function dependenciesEnded(run: Run, work: Work): boolean {
  return work.deliverable.dependencies.every((id) => {
    const status = statusOf(run, id)
    return status === 'done' || (work.deliverable.tolerates_missing && status !== 'waiting' && status !== 'running')
  })
}

async function make(run: Run, work: Work): Promise<void> {
  const { context, input } = run
  const { deliverable } = work
  const at = () => new Date(context.now()).toISOString()
  const childId = work.state.rounds === 0 ? `${input.id}.${deliverable.id}` : `${input.id}.${deliverable.id}.r${work.state.rounds + 1}`
  change(run, work, { status: 'running', run: childId, startedAt: at(), endedAt: undefined, message: undefined })
  const sources = deliverable.dependencies.flatMap((id) => run.works.get(id) ?? [])
  const task: AgentTaskInput = {
    project: input.id,
    deliverable,
    principal: input.principal,
    workspace: run.workspace,
    budgets: [`project/${input.id}`, `project/${input.id}/${deliverable.id}`],
    scope: {
      inputs: run.inputs,
      deliverables: Object.fromEntries(sources.map((source) => [source.deliverable.id, source.result?.output ?? null])),
    },
    labels: [...new Set(sources.flatMap((source) => source.result?.labels ?? []))],
    approvals: work.approvals,
  }
  try {
    work.result = await context.child<AgentTaskResult>('agent-task', task, { runId: childId })
    change(run, work, { status: 'done', endedAt: at() })
  } catch (error) {
    if ((error as SomaError).code === 'cancelled' && context.cancelRequested) throw error
    change(run, work, { status: 'failed', endedAt: at(), message: (error as SomaError).message })
  }
}

/** Sends back what failed, with the review's notes, until the review is content or the rounds are used up. */
async function review(run: Run): Promise<void> {
  for (;;) {
    setStatus(run, 'reviewing')
    run.project.review = await runCapsule<GovernanceVerdict>(run, REVIEW_CAPSULE, {
      facts: await facts(run),
      threshold: 0.82,
      maxVariance: 0.15,
    })
    const failed = [...run.works.values()].filter((work) => work.state.status === 'failed')
    if (run.project.review.verdict !== 'needs_revision' || failed.length === 0 || run.round >= run.input.maxRevisions) return
    run.round++
    for (const work of failed) change(run, work, { status: 'waiting', rounds: run.round, message: run.project.review.notes.join(' ') })
    for (const work of run.works.values()) if (work.state.status === 'skipped') change(run, work, { status: 'waiting' })
    await runWaves(run)
  }
}

async function report(run: Run): Promise<void> {
  setStatus(run, 'reporting')
  if (!run.plan.report) return
  const { html, json } = await runCapsule<{ html?: { digest: string }; json?: { digest: string } }>(run, run.plan.report.capsule, {
    facts: await facts(run),
  })
  run.project.report = { html: html?.digest, json: json?.digest }
}

async function runCapsule<Output>(run: Run, reference: string, inputs: Record<string, unknown>): Promise<Output> {
  const { context, input } = run
  const { capsule, digest } = await context.activity<CapsuleResolveOutput>(
    'capsule.resolve',
    { reference, tenant: input.tenant, run: context.runId, step: reference },
    { label: reference },
  )
  const child: CapsuleRunInput = {
    capsule,
    digest,
    inputs,
    principal: { ...input.principal, id: 'agent:kamachiq', kind: 'agent', onBehalfOf: input.principal.onBehalfOf ?? input.principal.id },
    project: input.id,
    workspace: run.workspace,
    budgets: [],
  }
  return (await context.child<CapsuleRunResult>('capsule', child)).output as Output
}

async function facts(run: Run): Promise<ProjectFacts> {
  const deliverables = [...run.works.values()].map((work) => ({ ...work.state, output: work.result?.output }))
  const { id, tenant, name, brief, createdAt, inputs } = run.project
  const gathered = await run.context.activity<ProjectFacts>(
    'project.facts',
    { project: { id, tenant, name, brief, createdAt, inputs }, deliverables, review: run.project.review },
    { label: 'facts' },
  )
  run.project.budget = gathered.budget
  for (const { id: deliverable, spent } of gathered.deliverables) {
    const work = run.works.get(deliverable)
    if (work) work.state = { ...work.state, spent }
  }
  return gathered
}

/** Takes people's words as they come, also while waves run, and lets the project wait for the next. */
function listenForWords(run: Run): { next(milliseconds: number): Promise<void> } {
  let unheard = 0
  let wake: () => void = () => undefined
  const listen = async () => {
    for (;;) {
      const word = await run.context.waitForSignal<ProjectWord>('word')
      if (word && take(run, word)) {
        unheard++
        wake()
      }
    }
  }
  listen().catch(() => undefined)
  return {
    async next(milliseconds) {
      if (unheard === 0) {
        const heard = new Promise<void>((resolve) => {
          wake = resolve
        })
        await Promise.race([heard, run.context.sleep(milliseconds)])
      }
      unheard = 0
    },
  }
}

/** @returns whether the word changed anything */
function take(run: Run, word: ProjectWord): boolean {
  const who = word.reason ? `${word.by}: ${word.reason}` : word.by
  if (word.kind === 'resolve') {
    const work = run.works.get(word.deliverable)
    if (work?.state.status !== 'blocked') return false
    if (word.resolution === 'drop') change(run, work, { status: 'rejected', message: `Dropped by ${who}` })
    return true
  }
  const work = [...run.works.values()].find((each) => each.approval === word.id)
  if (work?.state.status !== 'awaiting_approval') return false
  if (word.approved) {
    work.approvals.push(word.id)
    change(run, work, { message: `Approved by ${who}` })
  } else if (word.expired) {
    change(run, work, { status: 'blocked', message: `Nobody answered approval ${word.id} in time. It is asked for again.` })
  } else change(run, work, { status: 'rejected', message: `Rejected by ${who}` })
  return true
}

/** Policy may have changed since: what it blocked is asked about again, on a timer and on a person's word. */
async function regateBlocked(run: Run): Promise<void> {
  const blocked = [...run.works.values()].filter((work) => work.state.status === 'blocked')
  await run.context.all(blocked.map((work) => () => gate(run, work)))
}

/** An approval is an answer to policy's question, so policy is asked again, with it. */
async function regateApproved(run: Run): Promise<void> {
  const approved = [...run.works.values()].filter(
    (work) => work.state.status === 'awaiting_approval' && work.approval !== undefined && work.approvals.includes(work.approval),
  )
  await run.context.all(approved.map((work) => () => gate(run, work)))
}

function isOpen(run: Run): boolean {
  return [...run.works.values()].some((work) => ['blocked', 'awaiting_approval', 'waiting'].includes(work.state.status))
}

function hasEnded(work: Work): boolean {
  return ['done', 'failed', 'rejected', 'skipped', 'cancelled'].includes(work.state.status)
}

function statusOf(run: Run, id: string): string {
  return run.works.get(id)?.state.status ?? 'skipped'
}

function change(run: Run, work: Work, fields: Partial<DeliverableState>): void {
  work.state = { ...work.state, ...fields }
  publish(run)
}

function setStatus(run: Run, status: ProjectStatus): void {
  run.project.status = status
  publish(run)
}

function publish(run: Run): void {
  run.project.deliverables = [...run.works.values()].map((work) => work.state)
  run.context.publishState({ ...run.project })
}

function end(run: Run, status: ProjectStatus): Project {
  run.project.status = status
  run.project.endedAt = new Date(run.context.now()).toISOString()
  publish(run)
  return run.project
}
