import { SomaError } from '@soma/contracts/errors'
import type { ActivityContext, ActivityFunction, WorkflowDefinition } from '@soma/contracts/workflow'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { databaseFailure } from '../sql/failure.ts'
import * as after from './conformance/after.workflow.ts'
import * as before from './conformance/before.workflow.ts'
import * as promised from './conformance/promised.workflow.ts'
import type { Workflows } from './port.ts'

const { addUp } = promised

export interface WorkflowsUnderTest {
  /** Another worker on the same history. */
  openEngine(): Promise<{ engine: Workflows /** As kill -9 would: nothing is flushed, nothing is said. */; crash(): Promise<void> }>
  close(): Promise<void>
}

const tenant = 'acme'
let serial = 0
const newId = (name: string) => `${name}-${++serial}`

/** How much is asked for at once. An engine whose steps take tens of milliseconds on a small machine is asked for less, the promise is the same. */
export interface ConformanceSize {
  runsAtOnce: number
  stepsOfOneRun: number
}

/** What every workflow engine promises. */
export function workflowsConformance(driver: string, open: () => Promise<WorkflowsUnderTest>, size: ConformanceSize): void {
  const { runsAtOnce, stepsOfOneRun } = size
  describe(`workflows: ${driver}`, () => {
    let under: WorkflowsUnderTest
    let running: Awaited<ReturnType<WorkflowsUnderTest['openEngine']>>[] = []
    beforeAll(async () => {
      under = await open()
    })
    afterEach(async () => {
      await Promise.all(running.map(({ engine }) => engine.stop().catch(() => undefined)))
      running = []
    })
    afterAll(() => under.close())

    // biome-ignore lint/suspicious/noExplicitAny: workflows of different inputs in one list
    async function start(workflows: WorkflowDefinition<any, any>[], activities: Record<string, ActivityFunction> = {}) {
      const opened = await under.openEngine()
      running.push(opened)
      await opened.engine.start({ workflows, activities })
      return opened
    }

    // biome-ignore lint/suspicious/noExplicitAny: see above
    async function runOnce(definition: WorkflowDefinition<any, any>, input: unknown, activities: Record<string, ActivityFunction> = {}) {
      const { engine } = await start([definition], activities)
      const runId = newId(definition.name)
      await engine.startRun({ workflow: definition.name, runId, tenant, input })
      return { engine, runId, result: () => engine.result({ tenant, runId }) }
    }

    const double = async ({ step }: { step: number }) => step * 2

    test('a workflow calls activities in order and gives its output', async () => {
      const { result } = await runOnce(addUp, { steps: 5 }, { double })
      expect(await result()).toEqual({ sum: 30 })
    })

    test('starting a run again under its id gives the run that is there', async () => {
      const { engine, runId, result } = await runOnce(addUp, { steps: 2 }, { double })
      await result()
      const again = await engine.startRun({ workflow: 'add-up', runId, tenant, input: { steps: 100 } })
      expect(again.status).toBe('completed')
      expect(again.output).toEqual({ sum: 6 })
    })

    test('an unknown workflow is refused with the names there are', async () => {
      const { engine } = await start([addUp])
      await expect(engine.startRun({ workflow: 'nothing', runId: newId('x'), tenant, input: {} })).rejects.toThrow(/add-up/)
    })

    test('an error of an activity reaches the workflow with its code and details, and fails the run when nobody catches it', async () => {
      const broken = async () => {
        throw new SomaError('budget_exceeded', 'Nothing left.', { left: 0 })
      }
      const caught = await runOnce(promised.catching, {}, { broken })
      expect(await caught.result()).toEqual({ code: 'budget_exceeded', details: { left: 0 } })
      await caught.engine.stop()
      const failing = await runOnce(promised.failing, {}, { broken })
      await expect(failing.result()).rejects.toMatchObject({ code: 'budget_exceeded', message: 'Nothing left.' })
      expect(await failing.engine.describe({ tenant, runId: failing.runId })).toMatchObject({
        status: 'failed',
        error: { code: 'budget_exceeded' },
      })
    })

    test('a passing failure is tried again with the same key; one that a change must mend is not', async () => {
      const keys: string[] = []
      const flaky = async (_: unknown, context: ActivityContext) => {
        keys.push(context.key)
        if (context.attempt < 3) throw new SomaError('tool_unavailable', 'Not now.')
        return context.attempt
      }
      let denials = 0
      const denied = async () => {
        denials++
        throw new SomaError('policy_denied', 'No.')
      }
      const { result } = await runOnce(promised.retrying, {}, { flaky, denied })
      expect(await result()).toBe(3)
      expect(new Set(keys).size).toBe(1)
      expect(denials).toBe(1)
    })

    test.each([
      ['policy can not be asked', new SomaError('policy_unavailable', 'No answer.')],
      ['the journal can not be written', new SomaError('audit_unavailable', 'Not written.')],
      ['the database is full', new SomaError('disk_full', 'Full.', {}, { cause: Object.assign(new Error('full'), { code: '53100' }) })],
      ['the database is away', Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })],
      ['another service says so', databaseFailure(new Error('Connection terminated unexpectedly'))],
    ])('while %s a run waits, and its step is tried until it is judged', async (_, away) => {
      const attempts: number[] = []
      const { engine, runId, result } = await runOnce(
        addUp,
        { steps: 1 },
        {
          double: async (input: { step: number }, { attempt }: ActivityContext) => {
            if (attempts.push(attempt) < 4) throw away
            return double(input)
          },
        },
      )
      expect(await result()).toEqual({ sum: 2 })
      // None of them was the step's own: they take nothing from its retries, and nothing is on record.
      expect(attempts).toEqual([1, 1, 1, 1])
      expect((await engine.history({ tenant, runId })).map(({ kind }) => kind)).toEqual(['run.started', 'step.completed', 'run.completed'])
    })

    test('a full disk elsewhere is a failure of the step like any other', async () => {
      const broken = async () => {
        throw new SomaError('disk_full', 'The store is full.', { dependency: 's3' })
      }
      const { result } = await runOnce(promised.failing, {}, { broken })
      await expect(result()).rejects.toMatchObject({ code: 'disk_full' })
    })

    test('a stop does not wait for the next attempt', async () => {
      let attempts = 0
      const flaky = async () => {
        attempts++
        throw new SomaError('tool_unavailable', 'Not now.')
      }
      const { engine, runId } = await runOnce(promised.patient, {}, { flaky })
      await expect.poll(() => attempts).toBe(1)
      await engine.stop()
      const second = await start([promised.patient], { flaky })
      expect(await second.engine.describe({ tenant, runId })).toMatchObject({ status: 'running' })
      await second.engine.stop()
      expect(attempts).toBe(1)
    })

    test('an activity that takes too long is aborted and fails with tool_timeout', async () => {
      let aborted = false
      const slow = (_: unknown, context: ActivityContext) =>
        new Promise((_, reject) => {
          context.signal.addEventListener('abort', () => {
            aborted = true
            reject(context.signal.reason)
          })
        })
      const { result } = await runOnce(promised.slow, {}, { slow })
      await expect(result()).rejects.toMatchObject({ code: 'tool_timeout' })
      expect(aborted).toBe(true)
    })

    test('activities at once keep to the limit, and their results keep the order given', async () => {
      let atOnce = 0
      let most = 0
      const work = async ({ index }: { index: number }) => {
        most = Math.max(most, ++atOnce)
        await new Promise((resolve) => setTimeout(resolve, 5 * ((index * 7) % 5)))
        atOnce--
        return index
      }
      const { engine, runId, result } = await runOnce(promised.fan, {}, { work })
      expect(await result()).toEqual(Array.from({ length: 20 }, (_, index) => index))
      expect(most).toBeLessThanOrEqual(4)
      expect(await engine.replay({ tenant, runId })).toMatchObject({ same: true })
    })

    test('signals sent before anybody waits are kept, in order', async () => {
      let release: () => void = () => undefined
      const held = new Promise<void>((resolve) => {
        release = resolve
      })
      const { engine, runId, result } = await runOnce(promised.collecting, {}, { gate: () => held })
      await engine.signal({ tenant, runId, name: 'word', payload: 'one' })
      await engine.signal({ tenant, runId, name: 'word', payload: { two: 2 } })
      release()
      expect(await result()).toEqual(['one', { two: 2 }])
    })

    test('a wait ends with its signal or with its time-out, whichever comes first', async () => {
      const { engine, runId, result } = await runOnce(promised.waiting, {})
      await engine.signal({ tenant, runId, name: 'early', payload: 'bird' })
      expect(await result()).toEqual({ early: 'bird', late: 'nobody' })
      expect(await engine.replay({ tenant, runId })).toMatchObject({ same: true })
    })

    test('a signal to a run that ended or never was is refused', async () => {
      const { engine, runId, result } = await runOnce(addUp, { steps: 1 }, { double })
      await result()
      await expect(engine.signal({ tenant, runId, name: 'x' })).rejects.toMatchObject({ code: 'conflict' })
      await expect(engine.signal({ tenant, runId: 'never', name: 'x' })).rejects.toMatchObject({ code: 'not_found' })
      await expect(engine.signal({ tenant: 'globex', runId, name: 'x' })).rejects.toMatchObject({ code: 'not_found' })
    })

    test('a child gives its output to its parent, and its failure too', async () => {
      const { engine } = await start([promised.parent, promised.bad, addUp], { double })
      const runId = newId('parent')
      await engine.startRun({ workflow: 'parent', runId, tenant, input: {} })
      expect(await engine.result({ tenant, runId })).toEqual({ good: { sum: 12 }, bad: 'tool_failed' })
    })

    test('cancelling a run cancels its children and activities, lets it clean up, and ends as cancelled', async () => {
      const undone: string[] = []
      let begun = 0
      const hang = (_: unknown, context: ActivityContext) =>
        new Promise((_, reject) => {
          begun++
          context.signal.addEventListener('abort', () => reject(context.signal.reason))
        })
      const undo = async ({ what }: { what: string }) => {
        undone.push(what)
      }
      const { engine } = await start([promised.tidy, promised.hangingChild], { hang, undo })
      const runId = newId('tidy')
      await engine.startRun({ workflow: 'tidy', runId, tenant, input: {} })
      await expect.poll(() => begun).toBe(2)
      await engine.cancel({ tenant, runId, reason: 'enough' })
      await expect(engine.result({ tenant, runId })).rejects.toMatchObject({ code: 'cancelled' })
      expect(undone).toEqual(['everything'])
      await expect.poll(async () => (await engine.describe({ tenant, runId: `${runId}-child` }))?.status).toBe('cancelled')
      expect(await engine.replay({ tenant, runId })).toMatchObject({ same: true })
    })

    test('continuing as new goes on under the same id with an empty record', async () => {
      const { engine, runId, result } = await runOnce(promised.counting, { left: 4, sum: 0 }, { double })
      expect(await result()).toEqual({ sum: 20 })
      expect((await engine.history({ tenant, runId })).length).toBeLessThan(6)
    })

    test('published state can be asked for while the run is open and after it ended', async () => {
      const { engine, runId, result } = await runOnce(promised.talking, {})
      await expect.poll(() => engine.query({ tenant, runId })).toEqual({ at: 'first' })
      await engine.signal({ tenant, runId, name: 'on' })
      await result()
      expect(await engine.query({ tenant, runId })).toEqual({ at: 'second' })
    })

    test('time and ids of a workflow are the same at a replay', async () => {
      const { engine, runId, result } = await runOnce(promised.telling, {})
      const output = (await result()) as { before: number; after: number; ids: string[] }
      expect(output.after - output.before).toBeGreaterThanOrEqual(15)
      expect(new Set(output.ids).size).toBe(2)
      expect(await engine.replay({ tenant, runId })).toMatchObject({ same: true, output })
    })

    test('a workflow sees live what a replay sees: values as JSON holds them', async () => {
      const { engine, runId, result } = await runOnce(
        promised.shape,
        { kept: 1, dropped: undefined },
        { make: async () => ({ kept: 1, dropped: undefined, date: new Date(0) }) },
      )
      expect(await result()).toEqual({ input: ['kept'], made: ['kept', 'date'], date: 'string' })
      expect(await engine.replay({ tenant, runId })).toMatchObject({ same: true })
    })

    test('a replay touches nothing, and names the step where a changed input departs', async () => {
      let calls = 0
      const counted = async (input: { step: number }) => {
        calls++
        return double(input)
      }
      const { engine, runId, result } = await runOnce(addUp, { steps: 4 }, { double: counted })
      await result()
      calls = 0
      expect(await engine.replay({ tenant, runId })).toMatchObject({ same: true, matched: 4, output: { sum: 20 } })
      expect(await engine.replay({ tenant, runId, input: { steps: 6 } })).toMatchObject({ same: false, departure: { step: 5 } })
      expect(calls).toBe(0)
    })

    test('a crash at any step loses none and repeats none that was recorded', async () => {
      const steps = 6
      for (let crashAt = 1; crashAt <= steps; crashAt++) {
        const runId = newId('crash')
        const recorded: number[] = []
        let reached: () => void = () => undefined
        const atCrash = new Promise<void>((resolve) => {
          reached = resolve
        })
        const first = await start([addUp], {
          double: async (input: { step: number }) => {
            if (input.step === crashAt) {
              reached()
              await new Promise(() => undefined)
            }
            recorded.push(input.step)
            return double(input)
          },
        })
        await first.engine.startRun({ workflow: 'add-up', runId, tenant, input: { steps } })
        await atCrash
        await first.crash()
        const second = await start([addUp], {
          double: async (input: { step: number }) => {
            recorded.push(input.step)
            return double(input)
          },
        })
        expect(await second.engine.result({ tenant, runId })).toEqual({ sum: 42 })
        expect(recorded).toEqual([1, 2, 3, 4, 5, 6])
        await second.engine.stop()
      }
    })

    test('a timer that ran out while nothing ran fires at once, and a signal sent before the crash is not lost', async () => {
      const first = await start([promised.sleeping])
      const runId = newId('sleeping')
      await first.engine.startRun({ workflow: 'sleeping', runId, tenant, input: {} })
      await first.engine.signal({ tenant, runId, name: 'word', payload: 'kept' })
      await expect
        .poll(async () => (await first.engine.history({ tenant, runId })).some((entry) => entry.kind === 'timer.started'))
        .toBe(true)
      await first.crash()
      await new Promise((resolve) => setTimeout(resolve, 200))
      const second = await start([promised.sleeping])
      expect(await second.engine.result({ tenant, runId })).toBe('kept')
    })

    test('parents and children go on together after a crash', async () => {
      let hold = true
      const activities = {
        double: (input: { step: number }) => (hold && input.step === 2 ? new Promise<number>(() => undefined) : double(input)),
      }
      const first = await start([promised.family, addUp], activities)
      const runId = newId('family')
      await first.engine.startRun({ workflow: 'family', runId, tenant, input: {} })
      await expect
        .poll(async () => (await first.engine.history({ tenant, runId })).filter((entry) => entry.kind === 'child.completed').length)
        .toBe(1)
      await first.crash()
      hold = false
      const second = await start([promised.family, addUp], activities)
      expect(await second.engine.result({ tenant, runId })).toEqual([2, 6, 12])
    })

    test('code that changed without saying so is found and named, and the run goes on when the code matches again', async () => {
      const runId = newId('changing')
      const first = await start([before.changing], { double })
      await first.engine.startRun({ workflow: 'changing', runId, tenant, input: {} })
      await expect
        .poll(async () => (await first.engine.history({ tenant, runId })).some((entry) => entry.kind === 'step.completed'))
        .toBe(true)
      await first.engine.stop()
      const second = await start([after.changing], { triple: double })
      await expect.poll(async () => (await second.engine.describe({ tenant, runId }))?.error?.code).toBe('workflow_nondeterministic')
      expect((await second.engine.describe({ tenant, runId }))?.error?.message).toMatch(/first.*double.*triple/)
      await second.engine.stop()
      const third = await start([before.changing], { double })
      await third.engine.signal({ tenant, runId, name: 'on' })
      expect(await third.engine.result({ tenant, runId })).toBe('before')
    })

    test('a step that is asked for with another input than before is found and named as well', async () => {
      const runId = newId('asking')
      const first = await start([before.asking], { double })
      await first.engine.startRun({ workflow: 'asking', runId, tenant, input: {} })
      await expect
        .poll(async () => (await first.engine.history({ tenant, runId })).some((entry) => entry.kind === 'step.completed'))
        .toBe(true)
      await first.engine.stop()
      const second = await start([after.asking], { double })
      await expect.poll(async () => (await second.engine.describe({ tenant, runId }))?.error?.code).toBe('workflow_nondeterministic')
      expect((await second.engine.describe({ tenant, runId }))?.error?.message).toMatch(/step 1 \(first\).*double/)
    })

    test('a change that says so keeps open runs on the old way and takes new ones the new way', async () => {
      const oldRun = newId('evolving')
      const first = await start([before.evolving], { double })
      await first.engine.startRun({ workflow: 'evolving', runId: oldRun, tenant, input: {} })
      await expect
        .poll(async () => (await first.engine.history({ tenant, runId: oldRun })).some((entry) => entry.kind === 'step.completed'))
        .toBe(true)
      await first.engine.stop()
      const second = await start([after.evolving], { double, triple: async () => 'new' })
      const newRun = newId('evolving')
      await second.engine.startRun({ workflow: 'evolving', runId: newRun, tenant, input: {} })
      expect(await second.engine.result({ tenant, runId: newRun })).toBe('new')
      await second.engine.signal({ tenant, runId: oldRun, name: 'on' })
      expect(await second.engine.result({ tenant, runId: oldRun })).toBe('old')
      expect(await second.engine.replay({ tenant, runId: newRun })).toMatchObject({ same: true })
    })

    test('stopping parks what runs, and the next start goes on with it', async () => {
      const first = await start([promised.parked])
      const runId = newId('parked')
      await first.engine.startRun({ workflow: 'parked', runId, tenant, input: {} })
      await first.engine.stop()
      await expect(first.engine.startRun({ workflow: 'parked', runId: newId('parked'), tenant, input: {} })).rejects.toMatchObject({
        code: 'shutting_down',
      })
      const second = await start([promised.parked])
      await second.engine.signal({ tenant, runId, name: 'on', payload: 'up' })
      expect(await second.engine.result({ tenant, runId })).toBe('up')
    })

    test('an output too large for a record fails its step with a sentence, and the run can go on', async () => {
      const { result } = await runOnce(promised.large, {}, { large: async () => 'x'.repeat(9_000_000) })
      expect(await result()).toBe('invalid_input')
    })

    test('runs can be listed by workflow and status, newest first, page by page', async () => {
      const { engine } = await start([promised.listed])
      const ids = [1, 2, 3].map(() => newId('listed'))
      for (const runId of ids) await engine.startRun({ workflow: 'listed', runId, tenant, input: {} })
      const page = await engine.list({ tenant, workflow: 'listed', status: 'running', limit: 2 })
      const rest = await engine.list({ tenant, workflow: 'listed', status: 'running', limit: 2, after: page.at(-1)?.runId })
      expect([...page, ...rest].map((run) => run.runId).sort()).toEqual(ids.sort())
      expect(await engine.list({ tenant: 'globex', workflow: 'listed' })).toEqual([])
    })

    test('a tenant neither sees nor touches a run of another, and has its own under the same id', async () => {
      const { engine, runId } = await runOnce(promised.parked, {})
      const theirs = { tenant: 'globex', runId }
      const gone = { code: 'not_found' }
      expect(await engine.describe(theirs)).toBeUndefined()
      await expect(engine.query(theirs)).rejects.toMatchObject(gone)
      await expect(engine.history(theirs)).rejects.toMatchObject(gone)
      await expect(engine.replay(theirs)).rejects.toMatchObject(gone)
      await expect(engine.signal({ ...theirs, name: 'on', payload: 'forged' })).rejects.toMatchObject(gone)
      await expect(engine.cancel(theirs)).rejects.toMatchObject(gone)
      await expect(engine.result(theirs)).rejects.toMatchObject(gone)
      await engine.startRun({ ...theirs, workflow: 'parked', input: {} })
      await engine.signal({ ...theirs, name: 'on', payload: 'theirs' })
      expect(await engine.result(theirs)).toBe('theirs')
      expect(await engine.describe({ tenant, runId })).toMatchObject({ tenant, status: 'running' })
      await engine.signal({ tenant, runId, name: 'on', payload: 'ours' })
      expect(await engine.result({ tenant, runId })).toBe('ours')
    })

    test(`${runsAtOnce} runs at once end as each should`, async () => {
      const { engine } = await start([addUp], { double })
      const ids = Array.from({ length: runsAtOnce }, () => newId('many'))
      await Promise.all(ids.map((runId) => engine.startRun({ workflow: 'add-up', runId, tenant, input: { steps: 5 } })))
      const results = await Promise.all(ids.map((runId) => engine.result({ tenant, runId })))
      expect(results).toEqual(ids.map(() => ({ sum: 30 })))
    })

    test(`a run of ${stepsOfOneRun} steps ends, and replays to the same`, async () => {
      const { engine, runId, result } = await runOnce(addUp, { steps: stepsOfOneRun }, { double })
      expect(await result()).toEqual({ sum: stepsOfOneRun * (stepsOfOneRun + 1) })
      expect(await engine.replay({ tenant, runId })).toMatchObject({ same: true, matched: stepsOfOneRun })
    })
  })
}
