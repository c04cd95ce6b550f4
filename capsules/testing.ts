import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { capsuleDigest } from '@soma/capsule/digest'
import { expandPlan } from '@soma/capsule/expand-plan'
import { createMemoryContext } from '@soma/capsule/memory-context'
import { parseCapsule } from '@soma/capsule/parse-capsule'
import { problemsError } from '@soma/capsule/problem'
import { parsePlan } from '@soma/capsule/validate-plan'
import type { Capsule } from '@soma/contracts/capsule'
import type { CapsuleResolveInput, CapsuleResolveOutput, ToolCallInput, ToolCallOutput } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { Adapter, Operation, OperationContext } from '@soma/contracts/operation'
import type { Action, Decision } from '@soma/contracts/policy'
import type { Plan, Project } from '@soma/contracts/project'
import type { DeliverableGateInput, DeliverableGateOutput, PlannedProject, ProjectFacts, ProjectWord } from '@soma/contracts/project-run'
import type { Principal } from '@soma/contracts/tenant'
import type { WorkflowContext } from '@soma/contracts/workflow'
import { describeOperations } from '@soma/kernel/actions/operation-catalogue'
import { parseConstitution } from '@soma/ports/policy/check'
import { compileConstitution } from '@soma/ports/policy/compile'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import { agentTaskWorkflow } from '@soma/services/orchestrator/workflows/agent-task.workflow'
import { capsuleWorkflow } from '@soma/services/orchestrator/workflows/capsule.workflow'
import { projectWorkflow } from '@soma/services/orchestrator/workflows/project.workflow'
import { gitAdapter } from '@soma/tools/git/adapter'
import { reportAdapter } from '@soma/tools/report/adapter'
import { scanAdapter } from '@soma/tools/scan/adapter'
import { terraformAdapter } from '@soma/tools/terraform/adapter'

const adapters: Adapter<unknown>[] = [gitAdapter, scanAdapter, terraformAdapter, reportAdapter]
export const operations = new Map(
  adapters.flatMap((adapter) => adapter.operations).map((operation) => [operation.name, operation as Operation]),
)
export const known = describeOperations(adapters)

const FOLDER = new URL('.', import.meta.url)

/** The first-party capsules by reference, and each one's text. @throws SomaError that names what is wrong with one */
export async function readCapsules(): Promise<Map<string, Capsule>> {
  const capsules = new Map<string, Capsule>()
  for (const file of await filesNamed('.capsule.yaml')) {
    const { capsule, problems } = parseCapsule(await readFile(new URL(file, FOLDER), 'utf8'), { operations: known, file })
    if (!capsule) throw problemsError('capsule_invalid', problems)
    capsules.set(`${capsule.metadata.name}@${capsule.metadata.version}`, capsule)
  }
  return capsules
}

export async function readPlan(name: string): Promise<Plan> {
  const file = `${name}/${name}.plan.yaml`
  const { plan, problems } = parsePlan(await readFile(new URL(file, FOLDER), 'utf8'), {
    operations: known,
    capsules: [...(await readCapsules()).keys()],
    file,
  })
  if (!plan) throw problemsError('plan_invalid', problems)
  return plan
}

async function filesNamed(ending: string): Promise<string[]> {
  const files = await readdir(FOLDER, { recursive: true })
  return files.filter((file) => file.endsWith(ending)).sort()
}

const PRINCIPAL: Principal = { id: 'user:test', kind: 'user', tenant: 'test', capabilities: ['*'], within: [] }

/** A project under way: the real workflows, capsules, operations and constitution; what the platform adds is in memory. */
export interface ProjectInMemory {
  /** Resolves when it waits for people, and when it has ended. */
  settled(): Promise<Project>
  say(word: ProjectWord): void
  objects: Map<string, Uint8Array>
  /** What the last report was made from. */
  facts(): ProjectFacts
}

export async function startProject(
  template: string,
  inputs: Record<string, unknown>,
  { fails = [] }: { fails?: string[] } = {},
): Promise<ProjectInMemory> {
  const capsules = await readCapsules()
  const plan = await readPlan(template)
  const policy = await openWasmPolicy()
  const constitution = parseConstitution(await readFile(new URL('../policies/constitution.yaml', import.meta.url), 'utf8'))
  await policy.load('test', compileConstitution([constitution]))
  const objects = new Map<string, Uint8Array>()
  const decided: Decision[] = []
  const spent = new Map<string, { calls: number; seconds: number }>()
  const approvals = new Map<string, { id: string; deliverable: string; status: string }>()
  let facts: ProjectFacts | undefined
  let expanded: PlannedProject | undefined

  const ask = (action: Action, principal: Principal, context: { labels?: string[]; approvals?: string[] }) =>
    policy.decide({ principal, action, context: { labels: [], approvals: [], at: new Date().toISOString(), ...context } })

  const activities: Record<string, (input: never) => Promise<unknown>> = {
    'project.plan': async (): Promise<PlannedProject> => {
      expanded = expandPlan(plan, inputs)
      return expanded
    },
    'project.provision': async () => ({ workspace: '/nowhere', actions: [] }),
    'deliverable.gate': async ({ deliverable, principal, approvals: given }: DeliverableGateInput): Promise<DeliverableGateOutput> => {
      const { id, effect, resource } = deliverable
      const action = { name: 'deliverable.start', capability: 'project.run', effect, resource }
      const decision = await ask(action, { ...principal, id: `agent:${deliverable.persona}`, kind: 'agent' }, { approvals: given })
      if (decision.verdict !== 'needs_approval') return { decision }
      approvals.set(`approval-${id}`, { id: `approval-${id}`, deliverable: id, status: 'pending' })
      return { decision, approval: `approval-${id}` }
    },
    'capsule.resolve': async ({ reference }: CapsuleResolveInput): Promise<CapsuleResolveOutput> => {
      const capsule = capsules.get(reference)
      if (!capsule) throw new SomaError('not_found', `There is no capsule ${reference}.`)
      return { capsule, digest: capsuleDigest(capsule) }
    },
    'tool.call': callTool,
    'project.facts': async ({ project, deliverables, review }: Pick<ProjectFacts, 'project' | 'deliverables' | 'review'>) => {
      const total = [...spent.values()].reduce((sum, one) => ({ calls: sum.calls + one.calls, seconds: sum.seconds + one.seconds }), {
        calls: 0,
        seconds: 0,
      })
      facts = {
        project,
        deliverables: deliverables.map((each) => ({ ...each, spent: spent.get(each.id) ?? {} })),
        budget: { limit: expanded?.plan.budget ?? {}, spent: total },
        approvals: [...approvals.values()].map((each) => ({ ...each, action: 'deliverable.start' })),
        decisions: { total: decided.length, allowed: decided.length, denied: 0, meanScore: 1 },
        review,
        ledger: { position: '4711', hash: createHash('sha256').update('test').digest('hex') },
      }
      return facts
    },
  }

  async function callTool({ operation: name, input, principal, context }: ToolCallInput): Promise<ToolCallOutput> {
    const operation = operations.get(name)
    if (!operation) throw new SomaError('unknown_tool', `There is no operation ${name}.`)
    if (fails.includes(name)) throw new SomaError('tool_failed', `${name} was made to fail.`)
    const parsed = operation.input.parse(input)
    const resource = operation.resource?.(parsed) ?? {}
    const action = { name: `tool.${name}`, capability: operation.capability, effect: operation.effect, resource, arguments: parsed }
    const decision = await ask(action, principal, context)
    if (decision.verdict !== 'allow') throw new SomaError('policy_denied', decision.reasons.map(({ text }) => text).join(' '))
    decided.push(decision)
    const startedAt = performance.now()
    const output = operation.output.parse(await operation.run(parsed, operationContext(`${context.run}:${context.step}`)))
    const before = spent.get(context.deliverable ?? '') ?? { calls: 0, seconds: 0 }
    if (context.deliverable !== undefined)
      spent.set(context.deliverable, {
        calls: before.calls + 1,
        seconds: before.seconds + Math.round(performance.now() - startedAt) / 1000,
      })
    return { output, labels: [...new Set([...(context.labels ?? []), ...(operation.untrustedOutput ? ['untrusted'] : [])])] }
  }

  function operationContext(key: string): OperationContext<unknown> {
    return {
      client: {},
      tenant: 'test',
      key,
      signal: new AbortController().signal,
      workspace: '/nowhere',
      fetch: () => Promise.reject(new SomaError('egress_blocked', 'Nothing goes out.')),
      progress: () => undefined,
      objects: {
        async put(content, mediaType) {
          const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
          objects.set(digest, content)
          return { digest, size: content.length, mediaType }
        },
        get: async (digest) => objects.get(digest) ?? new Uint8Array(),
      },
    }
  }

  const workflows = { 'agent-task': agentTaskWorkflow, capsule: capsuleWorkflow }
  const world = (runId: string) => ({
    runId,
    tenant: 'test',
    activity: async (name: string, input: unknown) =>
      asJson(await (activities[name] as (given: unknown) => Promise<unknown>)(asJson(input))),
    child: async (workflow: string, input: unknown): Promise<unknown> =>
      asJson(
        await workflows[workflow as keyof typeof workflows].run(createMemoryContext(world(`${runId}.${workflow}`)), asJson(input) as never),
      ),
  })

  const context = createMemoryContext(world('project-1'))
  let settle: (project: Project) => void = () => undefined
  let next = new Promise<Project>((resolve) => {
    settle = resolve
  })
  let shown: unknown
  const patient: WorkflowContext = {
    ...context,
    now: () => Date.now(),
    publishState(state) {
      shown = structuredClone(state)
    },
    // A project sleeps when all it can do is done; here it then waits for people's words, however long.
    sleep() {
      settle(shown as Project)
      return new Promise(() => undefined)
    },
  }
  const run = projectWorkflow.run(patient, {
    id: 'project-1',
    tenant: 'test',
    name: template,
    brief: 'How healthy is it?',
    source: { template },
    inputs,
    principal: PRINCIPAL,
    maxRevisions: 0,
  })
  run.then(
    (project) => settle(project),
    () => undefined,
  )
  return {
    settled: () => Promise.race([next, run]),
    say(word) {
      next = new Promise((resolve) => {
        settle = resolve
      })
      if (word.kind === 'approval') {
        const approval = approvals.get(word.id)
        if (approval) approval.status = word.approved ? 'approved' : 'rejected'
      }
      context.signal('word', word)
    },
    objects,
    facts: () => {
      if (!facts) throw new SomaError('not_found', 'No report was made yet.')
      return facts
    },
  }
}

/** As it comes back from where workflows are kept. */
function asJson(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value))
}
