import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runProcess, streamProcess } from './process.ts'
import { temporaryFolder } from './testing.ts'

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('runProcess', () => {
  it('gives output, what was said, and the exit code', async () => {
    const result = await runProcess('sh', ['-c', 'cat; echo oops >&2; exit 3'], { input: 'hello' })
    expect(result).toEqual({ stdout: Buffer.from('hello'), stderr: 'oops\n', exitCode: 3 })
  })

  it('passes arguments on as they are, without a shell', async () => {
    const { stdout } = await runProcess('printf', ['%s', '$(id); `id` "quoted" *'])
    expect(stdout.toString()).toBe('$(id); `id` "quoted" *')
  })

  it('lets no secret of the platform into the environment of a program', async () => {
    process.env.SOMA_TEST_SECRET = 'hunter2'
    try {
      const { stdout } = await runProcess('env', [], { env: { GIVEN: 'yes' } })
      expect(stdout.toString()).toContain('GIVEN=yes')
      expect(stdout.toString()).not.toContain('hunter2')
    } finally {
      delete process.env.SOMA_TEST_SECRET
    }
  })

  it('ends the children of a program as well when it is aborted', async () => {
    const folder = await temporaryFolder()
    const stop = new AbortController()
    const running = runProcess('sh', ['-c', 'sleep 600 & echo $! > pid; mv pid child; wait'], { cwd: folder, signal: stop.signal })
    running.catch(() => {})
    const child = await expect
      .poll(() => readFile(join(folder, 'child'), 'utf8').catch(() => ''), { timeout: 10_000 })
      .not.toBe('')
      .then(() => readFile(join(folder, 'child'), 'utf8'))
    expect(isAlive(Number(child))).toBe(true)
    stop.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    await expect.poll(() => isAlive(Number(child)), { timeout: 10_000 }).toBe(false)
  })

  it('does not start a program for a call that was aborted before', async () => {
    await expect(runProcess('true', [], { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
  })

  it('stops a program that writes more than allowed', async () => {
    await expect(runProcess('yes', [], { maxBytes: 10_000 })).rejects.toMatchObject({ code: 'tool_failed', details: { maxBytes: 10_000 } })
  })

  it('says what to install when a program is missing', async () => {
    await expect(runProcess('no-such-program', [])).rejects.toMatchObject({
      code: 'tool_unavailable',
      message: expect.stringContaining('Install no-such-program'),
    })
  })

  it('says that the folder is missing when it is the folder', async () => {
    await expect(runProcess('true', [], { cwd: '/no/such/folder' })).rejects.toMatchObject({ code: 'invalid_input' })
  })

  it('does not mind a program that leaves its input unread', async () => {
    const { exitCode } = await runProcess('true', [], { input: Buffer.alloc(4_000_000) })
    expect(exitCode).toBe(0)
  })

  it('throws what its input throws', async () => {
    async function* broken() {
      yield 'a'
      throw new Error('broken input')
    }
    await expect(runProcess('cat', [], { input: broken() })).rejects.toThrow('broken input')
  })
})

describe('streamProcess', () => {
  it('ends the program when the consumer stops', async () => {
    let pid = 0
    for await (const chunk of streamProcess('sh', ['-c', 'echo $$; exec yes'])) {
      pid = Number.parseInt(chunk.toString(), 10)
      break
    }
    expect(pid).toBeGreaterThan(0)
    expect(isAlive(pid)).toBe(false)
  })

  it('makes the program wait while the consumer does', async () => {
    const folder = await temporaryFolder()
    const script = 'i=0; while [ $i -lt 400 ]; do printf "%65536d" 0; i=$((i+1)); echo $i > count.new; mv count.new count; done'
    const stream = streamProcess('sh', ['-c', script], { cwd: folder })
    const first = await stream.next()
    expect(first.done).toBe(false)
    const written = async () => Number(await readFile(join(folder, 'count'), 'utf8').catch(() => '0'))
    await expect.poll(written).toBeGreaterThan(0)
    let before = -1
    const stands = async () => {
      const last = before
      before = await written()
      return before === last
    }
    await expect.poll(stands, { interval: 200, timeout: 10_000 }).toBe(true)
    expect(before).toBeLessThan(100)
    let bytes = first.value?.length ?? 0
    for await (const chunk of stream) bytes += chunk.length
    expect(bytes).toBe(400 * 65_536)
  })

  it('throws the last words of a program that fails', async () => {
    const stream = streamProcess('sh', ['-c', 'echo so far; echo it broke >&2; exit 7'])
    const seen: string[] = []
    await expect(
      (async () => {
        for await (const chunk of stream) seen.push(chunk.toString())
      })(),
    ).rejects.toMatchObject({ code: 'tool_failed', message: 'sh ended with exit code 7: it broke', details: { exitCode: 7 } })
    expect(seen.join('')).toBe('so far\n')
  })

  it('throws the reason when it is aborted on the way', async () => {
    const stop = new AbortController()
    const stream = streamProcess('sh', ['-c', 'echo ready; sleep 600'], { signal: stop.signal })
    await stream.next()
    const aborted = once(stop.signal, 'abort')
    stop.abort(new Error('killed'))
    await aborted
    await expect(stream.next()).rejects.toThrow('killed')
  })
})
