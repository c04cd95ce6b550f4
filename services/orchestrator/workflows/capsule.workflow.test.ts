import { createMemoryContext, type MemoryContext } from '@soma/capsule/memory-context'
import { Capsule } from '@soma/contracts/capsule'
import type {
  ApprovalRequestInput,
  CapsuleResolveInput,
  CapsuleRunInput,
  CapsuleRunResult,
  CapsuleRunState,
  ToolCallInput,
} from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { ActivityOptions } from '@soma/contracts/workflow'
import { describe, expect, test } from 'vitest'
import { capsuleWorkflow } from './capsule.workflow.ts'

type Tools = Record<string, (input: Record<string, unknown>, call: ToolCallInput) => unknown>

interface Stage {
  tools?: Tools
  /** Labels of what a tool gives. */
  labels?: Record<string, string[]>
  capsules?: Record<string, Capsule>
  budget?: string
}

interface Call extends ToolCallInput {
  options: ActivityOptions
}

/** Stands for the engine and the world: tools are functions, and a nested capsule runs in a context of its own. */
function stage({ tools = {}, labels = {}, capsules = {}, budget }: Stage) {
  const calls: Call[] = []
  const approvals: ApprovalRequestInput[] = []
  const resolved: CapsuleResolveInput[] = []
  const children: CapsuleRunInput[] = []
  let runs = 0
  const open = (): MemoryContext =>
    createMemoryContext({
      runId: `run${++runs}`,
      tenant: 'acme',
      async activity(name, input, options) {
        if (name === 'tool.call') {
          const call = input as ToolCallInput
          calls.push({ ...call, options })
          const tool = tools[call.operation]
          if (!tool) throw new SomaError('unknown_tool', `No ${call.operation}.`)
          return { output: await tool(call.input, call), labels: labels[call.operation] ?? [] }
        }
        if (name === 'approval.request') {
          approvals.push(input as ApprovalRequestInput)
          return { id: `a${approvals.length}` }
        }
        resolved.push(input as CapsuleResolveInput)
        const capsule = capsules[(input as CapsuleResolveInput).reference]
        if (!capsule) throw new SomaError('not_found', `No capsule ${(input as CapsuleResolveInput).reference}.`)
        return { capsule, digest: 'sha256:nested', budget }
      },
      child(workflow, input) {
        expect(workflow).toBe('capsule')
        children.push(input as CapsuleRunInput)
        return capsuleWorkflow.run(open(), input as CapsuleRunInput)
      },
    })
  const context = open()
  return {
    context,
    calls,
    approvals,
    resolved,
    children,
    run: (capsule: Capsule, input: Partial<CapsuleRunInput> = {}): Promise<CapsuleRunResult> =>
      capsuleWorkflow.run(context, { capsule, digest: 'sha256:x', inputs: {}, principal, budgets: ['b1'], ...input }),
    state: () => context.published.at(-1) as CapsuleRunState,
    statuses: () => Object.fromEntries((context.published.at(-1) as CapsuleRunState).steps.map(({ id, status }) => [id, status])),
  }
}

const principal = {
  id: 'user:ann',
  kind: 'user' as const,
  tenant: 'acme',
  capabilities: ['tool.*'],
  within: [['tool.git.*', 'tool.web.*']],
}

const capsuleOf = (steps: unknown[], rest: Record<string, unknown> = {}): Capsule =>
  Capsule.parse({
    apiVersion: 'soma.dev/v1',
    kind: 'Capsule',
    metadata: { name: 'health', version: '1.0.0', summary: 'Test' },
    inputs: { type: 'object' },
    permissions: { tools: ['git.*', 'web.get'], capsules: ['inner@*'] },
    outputs: { value: null },
    steps,
    ...rest,
  })

/** A promise to be settled by hand. */
function gate<T>() {
  let open: (value: T) => void = () => undefined
  let fail: (error: unknown) => void = () => undefined
  const passed = new Promise<T>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { passed, open, fail }
}

async function failureOf(run: Promise<unknown>): Promise<SomaError> {
  const error = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (error instanceof SomaError) return error
  throw new Error(`expected a SomaError, got ${String(error)}`)
}

describe('order', () => {
  test('a step begins as soon as what it needs has ended, whatever else still runs', async () => {
    const slow = gate<string>()
    const world = stage({ tools: { 'git.slow': () => slow.passed, 'git.fast': () => 'fast', 'git.next': ({ from }) => `after ${from}` } })
    const run = world.run(
      capsuleOf(
        [
          { id: 'last', needs: ['slow'], value: '${{ steps.next }} and ${{ steps.slow }}' },
          { id: 'slow', tool: 'git.slow' },
          { id: 'fast', tool: 'git.fast' },
          { id: 'next', tool: 'git.next', with: { from: '${{ steps.fast }}' } },
        ],
        { outputs: { value: '${{ steps.last }}' } },
      ),
    )
    await expect.poll(world.statuses).toEqual({ last: 'pending', slow: 'running', fast: 'done', next: 'done' })
    slow.open('slow')
    expect((await run).output).toBe('after fast and slow')
    expect(world.state()).toMatchObject({ capsule: 'health@1.0.0', status: 'done' })
  })

  test('a capsule with a cycle is refused by itself', async () => {
    const error = await failureOf(
      stage({}).run(
        capsuleOf([
          { id: 'a', needs: ['b'], value: 1 },
          { id: 'b', needs: ['a'], value: 1 },
        ]),
      ),
    )
    expect(error).toMatchObject({ code: 'capsule_invalid', message: expect.stringContaining('a → b → a') })
  })

  test('the state tells of each change with its times', async () => {
    const world = stage({ tools: { 'git.log': () => world.context.sleep(1500) } })
    await world.run(capsuleOf([{ id: 'log', title: 'Read', tool: 'git.log' }]))
    const history = world.context.published.map((state) => (state as CapsuleRunState).steps[0])
    expect(history.map((step) => step?.status)).toEqual(['pending', 'running', 'done', 'done'])
    expect(history.at(-1)).toEqual({
      id: 'log',
      title: 'Read',
      kind: 'tool',
      status: 'done',
      startedAt: '1970-01-01T00:00:00.000Z',
      endedAt: '1970-01-01T00:00:01.500Z',
    })
  })
})

describe('tool steps', () => {
  test('carry who acts, within what, where and at whose cost', async () => {
    const world = stage({ tools: { 'git.log': () => [] } })
    const step = { id: 'log', tool: 'git.log', with: { path: '${{ inputs.path }}' }, timeout: 5, retry: { attempts: 3, backoffSeconds: 2 } }
    await world.run(capsuleOf([step]), { inputs: { path: '/r' }, project: 'p1', deliverable: 'd1', workspace: '/w', labels: ['mail'] })
    expect(world.calls).toEqual([
      {
        operation: 'git.log',
        input: { path: '/r' },
        principal: { ...principal, within: [...principal.within, ['tool.git.*', 'tool.web.*']] },
        context: { run: 'run1', step: 'log', capsule: 'health@1.0.0', project: 'p1', deliverable: 'd1', labels: ['mail'], approvals: [] },
        budgets: ['b1'],
        workspace: '/w',
        timeoutSeconds: 5,
        // Long enough for a kill switch to hold it; the call itself has its five seconds.
        options: { label: 'log', timeoutMilliseconds: 20 * 86_400_000, retry: { attempts: 3, backoffMilliseconds: 2000 } },
      },
    ])
  })

  test('outside of the permissions are not called', async () => {
    const world = stage({ tools: { 'web.post': () => 1 } })
    const error = await failureOf(world.run(capsuleOf([{ id: 'post', tool: 'web.post' }])))
    expect(error).toMatchObject({
      code: 'forbidden',
      details: { step: 'post' },
      message: expect.stringMatching(/^Step "post": web\.post is outside/),
    })
    expect(world.calls).toEqual([])
  })

  test('labels go with the data: to what uses it, not to what only comes after', async () => {
    const tools = { 'web.get': () => 'page', 'git.log': () => 1 }
    const world = stage({ tools, labels: { 'web.get': ['untrusted'] } })
    const result = await world.run(
      capsuleOf(
        [
          { id: 'page', tool: 'web.get' },
          { id: 'size', value: '${{ size(steps.page) }}' },
          { id: 'uses', tool: 'git.log', with: { n: '${{ steps.size }}' } },
          { id: 'decides', tool: 'git.log', when: '${{ steps.page != "" }}' },
          { id: 'each', tool: 'git.log', map: '${{ [steps.page] }}', with: { it: '${{ item }}' } },
          { id: 'after', tool: 'git.log', needs: ['page'] },
        ],
        { outputs: { value: '${{ steps.uses }}' } },
      ),
    )
    const labels = Object.fromEntries(world.calls.map((call) => [call.context.step, call.context.labels]))
    expect(labels).toEqual({ page: [], uses: ['untrusted'], decides: ['untrusted'], 'each[0]': ['untrusted'], after: [] })
    expect(result.labels).toEqual(['untrusted'])
  })

  test('that need an approval wait for it and are called again with it', async () => {
    const tools: Tools = {
      'git.push': (_, call) => {
        if (call.context.approvals.length === 2) return 'pushed'
        const id = `ask${call.context.approvals.length + 1}`
        throw new SomaError('approval_required', `Needs ${id}.`, { approval: id })
      },
    }
    const world = stage({ tools })
    const run = world.run(capsuleOf([{ id: 'push', tool: 'git.push' }], { outputs: { value: '${{ steps.push }}' } }))
    await expect.poll(() => world.state().steps[0]).toMatchObject({ status: 'waiting', message: 'Needs ask1.' })
    world.context.signal('approval:ask1', { approved: true, by: 'user:bob' })
    await expect.poll(() => world.state().steps[0]?.message).toBe('Needs ask2.')
    world.context.signal('approval:ask2', { approved: true, by: 'user:bob' })
    expect((await run).output).toBe('pushed')
    expect(world.calls.map((call) => call.context.approvals)).toEqual([[], ['ask1'], ['ask1', 'ask2']])
  })

  test('that are rejected fail with who said no and why', async () => {
    const world = stage({
      tools: {
        'git.push': () => {
          throw new SomaError('approval_required', 'Ask.', { approval: 'x' })
        },
      },
    })
    world.context.signal('approval:x', { approved: false, by: 'user:bob', reason: 'not on Friday' })
    const error = await failureOf(world.run(capsuleOf([{ id: 'push', tool: 'git.push' }])))
    expect(error).toMatchObject({
      code: 'policy_denied',
      message: 'Step "push": user:bob rejected the approval x: not on Friday',
      details: { step: 'push', by: 'user:bob' },
    })
    expect(world.calls).toHaveLength(1)
  })
})

describe('map', () => {
  test('runs the step for each item, gives the results in order, and no more at once than allowed', async () => {
    let running = 0
    let most = 0
    const world = stage({
      tools: {
        'git.log': async ({ item, index }) => {
          most = Math.max(most, ++running)
          await new Promise((resolve) => setImmediate(resolve))
          running--
          return `${item}${index}`
        },
      },
    })
    const step = {
      id: 'each',
      map: '${{ inputs.list }}',
      concurrency: 2,
      tool: 'git.log',
      with: { item: '${{ item }}', index: '${{ index }}' },
    }
    const { output } = await world.run(capsuleOf([step], { outputs: { value: '${{ steps.each }}' } }), {
      inputs: { list: ['a', 'b', 'c', 'd', 'e'] },
    })
    expect(output).toEqual(['a0', 'b1', 'c2', 'd3', 'e4'])
    expect(most).toBe(2)
    expect(world.state().steps[0]?.items).toEqual({ total: 5, done: 5, failed: 0 })
    expect(world.calls.map((call) => call.options.label)).toEqual(['each[0]', 'each[1]', 'each[2]', 'each[3]', 'each[4]'])
  })

  const failing: Tools = {
    'git.log': ({ item }) => {
      if (item === 2) throw new SomaError('tool_failed', 'Two is wrong.')
      return item
    },
  }
  const each = { id: 'each', map: '${{ [1, 2, 3] }}', concurrency: 1, tool: 'git.log', with: { item: '${{ item }}' } }

  test('an item that fails names itself, and no further item is begun', async () => {
    const world = stage({ tools: failing })
    expect(await failureOf(world.run(capsuleOf([each])))).toMatchObject({ code: 'tool_failed', message: 'Step "each[1]": Two is wrong.' })
    expect(world.calls).toHaveLength(2)
  })

  test('with onError continue, only the item is null', async () => {
    const world = stage({ tools: failing })
    const { output } = await world.run(capsuleOf([{ ...each, onError: 'continue' }], { outputs: { value: '${{ steps.each }}' } }))
    expect(output).toEqual([1, null, 3])
    expect(world.state().steps[0]).toMatchObject({ status: 'done', items: { total: 3, done: 2, failed: 1 } })
  })

  test('over an empty list gives an empty list; over no list fails', async () => {
    const step = (map: string) => capsuleOf([{ id: 'each', map, value: '${{ item }}' }], { outputs: { value: '${{ steps.each }}' } })
    expect((await stage({}).run(step('${{ [] }}'))).output).toEqual([])
    expect(await failureOf(stage({}).run(step('${{ 5 }}')))).toMatchObject({
      code: 'expression_invalid',
      message: 'Step "each": "map" must give a list; ${{ 5 }} does not.',
    })
  })
})

describe('when and failure', () => {
  test('a step whose condition is not true is skipped, is null, and those after it go on', async () => {
    const world = stage({})
    const steps = [
      { id: 'maybe', when: '${{ inputs.go }}', value: 1 },
      { id: 'next', value: '${{ steps.maybe == null ? "skipped" : "ran" }}' },
    ]
    expect((await world.run(capsuleOf(steps, { outputs: { value: '${{ steps.next }}' } }), { inputs: { go: false } })).output).toBe(
      'skipped',
    )
    expect(world.statuses()).toEqual({ maybe: 'skipped', next: 'done' })
    const error = await failureOf(stage({}).run(capsuleOf(steps), { inputs: { go: 'yes' } }))
    expect(error.message).toBe('Step "maybe": "when" must be true or false; ${{ inputs.go }} gives "yes".')
  })

  test('a failure stops the run at once: what runs is left, what is next is not begun', async () => {
    const slow = gate<number>()
    const world = stage({
      tools: {
        'git.slow': () => slow.passed,
        'git.bad': () => {
          throw new SomaError('tool_failed', 'Broken.', { vendor: 7 })
        },
        'git.next': () => 1,
      },
    })
    const steps = [
      { id: 'slow', tool: 'git.slow' },
      { id: 'next', needs: ['slow'], tool: 'git.next' },
      { id: 'bad', tool: 'git.bad' },
      { id: 'never', needs: ['bad'], value: 1 },
    ]
    const error = await failureOf(world.run(capsuleOf(steps)))
    expect(error).toMatchObject({ code: 'tool_failed', message: 'Step "bad": Broken.', details: { step: 'bad', vendor: 7 } })
    expect(world.state()).toMatchObject({ status: 'failed' })
    expect(world.statuses()).toEqual({ slow: 'cancelled', next: 'cancelled', bad: 'failed', never: 'cancelled' })
    const published = world.context.published.length
    slow.open(1)
    await new Promise((resolve) => setImmediate(resolve))
    expect(world.calls.map((call) => call.operation)).toEqual(['git.slow', 'git.bad'])
    expect(world.context.published).toHaveLength(published)
  })

  test('with onError continue, the step is failed, its output null, and the run goes on', async () => {
    const world = stage({})
    const steps = [
      { id: 'bad', tool: 'git.none', onError: 'continue' },
      { id: 'next', value: '${{ steps.bad == null }}' },
    ]
    expect((await world.run(capsuleOf(steps, { outputs: { value: '${{ steps.next }}' } }))).output).toBe(true)
    expect(world.state().steps[0]).toMatchObject({ status: 'failed', message: 'Step "bad": No git.none.' })
  })

  test('a kill switch stops the run although the step would go on after failures', async () => {
    const world = stage({
      tools: {
        'git.log': () => {
          throw new SomaError('killed', 'Stopped.')
        },
      },
    })
    expect(await failureOf(world.run(capsuleOf([{ id: 'log', tool: 'git.log', onError: 'continue' }])))).toMatchObject({ code: 'killed' })
  })

  test('cancellation leaves no step open', async () => {
    const world = stage({ tools: { 'git.slow': () => new Promise(() => undefined) } })
    const run = world.run(
      capsuleOf([
        { id: 'slow', tool: 'git.slow', onError: 'continue' },
        { id: 'ask', approval: { message: 'Go?' } },
        { id: 'next', needs: ['slow'], value: 1 },
      ]),
    )
    await expect.poll(world.statuses).toEqual({ slow: 'running', ask: 'waiting', next: 'pending' })
    world.context.cancel()
    expect(await failureOf(run)).toMatchObject({ code: 'cancelled' })
    expect(world.state().status).toBe('cancelled')
    expect(world.statuses()).toEqual({ slow: 'cancelled', ask: 'cancelled', next: 'cancelled' })
  })
})

describe('approval steps', () => {
  const ask = capsuleOf([{ id: 'ask', approval: { message: 'Publish ${{ inputs.what }}?', expiresSeconds: 60 } }], {
    outputs: { value: '${{ steps.ask }}' },
  })

  test('ask a person and give the answer', async () => {
    const world = stage({})
    world.context.signal('approval:a1', { approved: true, by: 'user:bob', reason: 'fine' })
    expect((await world.run(ask, { inputs: { what: 'it' } })).output).toEqual({ approved: true, by: 'user:bob', reason: 'fine' })
    expect(world.approvals).toMatchObject([
      { message: 'Publish it?', expiresSeconds: 60, context: { step: 'ask', capsule: 'health@1.0.0' } },
    ])
  })

  test('that nobody answers in time fail', async () => {
    const world = stage({})
    world.context.signal('approval:a1', { approved: false, by: 'platform', expired: true })
    expect(await failureOf(world.run(ask, { inputs: { what: 'it' } }))).toMatchObject({
      code: 'approval_required',
      message: 'Step "ask": Nobody answered the approval a1 in time.',
      details: { expired: 'a1' },
    })
  })
})

describe('capsule steps', () => {
  const inner = capsuleOf([{ id: 'log', tool: 'git.log', with: { path: '${{ inputs.path }}' } }], {
    metadata: { name: 'inner', version: '2.0.0', summary: 'Inner' },
    permissions: { tools: ['git.log', 'web.get'] },
    outputs: { value: { lines: '${{ steps.log }}' } },
  })
  const outer = capsuleOf([{ id: 'sub', capsule: 'inner@2.0.0', with: { path: '/r' } }], { outputs: { value: '${{ steps.sub.lines }}' } })

  test('run the other capsule within the permissions of both, at the same cost and its own', async () => {
    const world = stage({
      tools: { 'git.log': () => 3 },
      labels: { 'git.log': ['untrusted'] },
      capsules: { 'inner@2.0.0': inner },
      budget: 'b2',
    })
    expect(await world.run(outer, { project: 'p1', labels: ['mail'] })).toEqual({ output: 3, labels: ['mail', 'untrusted'] })
    expect(world.resolved).toEqual([{ reference: 'inner@2.0.0', tenant: 'acme', run: 'run1', step: 'sub' }])
    expect(world.children).toMatchObject([
      { digest: 'sha256:nested', project: 'p1', parent: { run: 'run1', step: 'sub' }, labels: ['mail'] },
    ])
    expect(world.calls[0]).toMatchObject({
      input: { path: '/r' },
      budgets: ['b1', 'b2'],
      principal: { within: [...principal.within, ['tool.git.*', 'tool.web.*'], ['tool.git.*', 'tool.web.*']] },
      context: { run: 'run2', step: 'log', capsule: 'inner@2.0.0', labels: ['mail'] },
    })
  })

  test('can not call what the capsule around them may not', async () => {
    const narrow = Capsule.parse({ ...outer, permissions: { tools: ['git.status'], capsules: ['inner@*'] } })
    const world = stage({ tools: { 'git.log': () => 3 }, capsules: { 'inner@2.0.0': inner } })
    expect(await failureOf(world.run(narrow))).toMatchObject({
      code: 'forbidden',
      message: expect.stringMatching(/^Step "sub": Step "log": git\.log is outside/),
    })
    expect(world.calls).toEqual([])
  })

  test('outside of the permissions are not run', async () => {
    const world = stage({ capsules: { 'inner@2.0.0': inner } })
    const closed = Capsule.parse({ ...outer, permissions: { tools: ['git.*'], capsules: ['inner@1.0.0'] } })
    expect(await failureOf(world.run(closed))).toMatchObject({ code: 'forbidden' })
    expect(world.resolved).toEqual([])
  })

  test('a capsule that runs itself ends at the depth allowed', async () => {
    const self = capsuleOf([{ id: 'again', capsule: 'inner@2.0.0' }], { metadata: { name: 'inner', version: '2.0.0', summary: 'Inner' } })
    const world = stage({ capsules: { 'inner@2.0.0': self } })
    expect(await failureOf(world.run(self))).toMatchObject({
      code: 'capsule_invalid',
      message: expect.stringContaining('at the most 8 may be nested'),
    })
    expect(world.children).toHaveLength(8)
  })
})

describe('inputs and output', () => {
  test('inputs get their defaults and hold to the schema', async () => {
    const inputs = {
      type: 'object',
      properties: { depth: { type: 'integer', default: 5 }, deep: { type: 'object', properties: { n: { default: 1 } } } },
      additionalProperties: false,
    }
    const capsule = capsuleOf([{ id: 'a', value: '${{ inputs.depth + inputs.deep.n }}' }], { inputs, outputs: { value: '${{ steps.a }}' } })
    expect((await stage({}).run(capsule, { inputs: { deep: {} } })).output).toBe(6)
    const error = await failureOf(stage({}).run(capsule, { inputs: { depth: 'x', other: 1 } }))
    expect(error).toMatchObject({
      code: 'invalid_input',
      message: expect.stringMatching(/^What health@1\.0\.0 got as inputs does not hold to its schema: .*depth.*other/),
    })
  })

  test('an output that does not hold to its schema fails the run', async () => {
    const world = stage({})
    const capsule = capsuleOf([{ id: 'a', value: 'text' }], {
      outputs: { schema: { type: 'object', properties: { n: { type: 'integer' } } }, value: { n: '${{ steps.a }}' } },
    })
    expect(await failureOf(world.run(capsule))).toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('n: Instance type "string" is invalid'),
    })
    expect(world.state().status).toBe('failed')
  })

  test('what a tool gave is never read as an expression', async () => {
    const world = stage({ tools: { 'web.get': () => '${{ inputs.secret }}', 'git.log': ({ text }) => text } })
    const steps = [
      { id: 'page', tool: 'web.get' },
      { id: 'log', tool: 'git.log', with: { text: 'got: ${{ steps.page }}' } },
    ]
    expect((await world.run(capsuleOf(steps, { outputs: { value: '${{ steps.log }}' } }), { inputs: { secret: 's3cret' } })).output).toBe(
      'got: ${{ inputs.secret }}',
    )
  })
})
