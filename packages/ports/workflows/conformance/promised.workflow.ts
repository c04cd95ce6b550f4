import { SomaError } from '@soma/contracts/errors'
import { defineWorkflow, type WorkflowFunction } from '@soma/contracts/workflow'

const define = <Input, Output>(name: string, run: WorkflowFunction<Input, Output>) => defineWorkflow({ name, module: import.meta.url, run })

export const addUp = define('add-up', async (context, input: { steps: number }) => {
  let sum = 0
  for (let step = 1; step <= input.steps; step++) sum += await context.activity<number>('double', { step })
  return { sum }
})

export const catching = define('catching', async (context) => {
  try {
    return await context.activity('broken', {})
  } catch (error) {
    return { code: (error as SomaError).code, details: (error as SomaError).details }
  }
})

export const failing = define('failing', (context) => context.activity('broken', {}))

export const retrying = define('retrying', async (context) => {
  const retry = { attempts: 5, backoffMilliseconds: 5 }
  const attempts = await context.activity<number>('flaky', {}, { retry })
  await context.activity('denied', {}, { retry }).catch(() => undefined)
  return attempts
})

export const patient = define('patient', (context) =>
  context.activity('flaky', {}, { retry: { attempts: 2, backoffMilliseconds: 3_600_000 } }),
)

export const slow = define('slow', (context) => context.activity('slow', {}, { timeoutMilliseconds: 30 }))

export const fan = define('fan', (context) =>
  context.all(
    Array.from({ length: 20 }, (_, index) => () => context.activity<number>('work', { index })),
    { concurrency: 4 },
  ),
)

export const collecting = define('collecting', async (context) => {
  await context.activity('gate', {})
  const first = await context.waitForSignal('word')
  const second = await context.waitForSignal('word')
  return [first, second]
})

export const waiting = define('waiting', async (context) => {
  const early = await context.waitForSignal('early', { timeoutMilliseconds: 60_000 })
  const late = await context.waitForSignal('late', { timeoutMilliseconds: 20 })
  return { early, late: late ?? 'nobody' }
})

export const bad = define('bad', async () => {
  throw new SomaError('tool_failed', 'Broken.')
})

export const parent = define('parent', async (context) => {
  const good = await context.child('add-up', { steps: 3 })
  const failed = await context.child('bad', {}).catch((error) => (error as SomaError).code)
  return { good, bad: failed }
})

export const hangingChild = define('hanging-child', (context) => context.activity('hang', {}))

export const tidy = define('tidy', async (context) => {
  try {
    await context.all([() => context.activity('hang', {}), () => context.child('hanging-child', {}, { runId: `${context.runId}-child` })])
  } finally {
    await context.uncancellable((clean) => clean.activity('undo', { what: 'everything' }))
  }
})

export const counting = define('counting', async (context, input: { left: number; sum: number }): Promise<unknown> => {
  const sum = input.sum + (await context.activity<number>('double', { step: input.left }))
  if (input.left > 1) return context.continueAsNew({ left: input.left - 1, sum })
  return { sum }
})

export const talking = define('talking', async (context) => {
  context.publishState({ at: 'first' })
  await context.waitForSignal('on')
  context.publishState({ at: 'second' })
})

export const telling = define('telling', async (context) => {
  const before = context.now()
  await context.sleep(15)
  return { before, after: context.now(), ids: [context.uuid(), context.uuid()] }
})

export const shape = define('shape', async (context, input: Record<string, unknown>) => {
  const made = await context.activity<Record<string, unknown>>('make', {})
  return { input: Object.keys(input), made: Object.keys(made), date: typeof made.date }
})

export const sleeping = define('sleeping', async (context) => {
  await context.sleep(150)
  return context.waitForSignal('word')
})

export const family = define('family', async (context) => {
  const sums = await context.all([1, 2, 3].map((steps) => () => context.child<{ sum: number }>('add-up', { steps })))
  return sums.map(({ sum }) => sum)
})

export const parked = define('parked', (context) => context.waitForSignal('on'))

export const large = define('large', (context) => context.activity('large', {}).catch((error) => (error as SomaError).code))

export const listed = define('listed', (context) => context.waitForSignal('on'))
