import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import fastify from 'fastify'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { createLifecycle } from './lifecycle.ts'
import { listen } from './listen.ts'

const logger = pino({ level: 'silent' })

describe('stop', () => {
  test('what was opened first closes last, and everything closes once', async () => {
    const lifecycle = createLifecycle({ logger, deadlineMilliseconds: 1000 })
    const order: string[] = []
    for (const name of ['sql', 'journal', 'http']) lifecycle.onStop(name, async () => order.push(name))
    const [first, second] = await Promise.all([lifecycle.stop('test'), lifecycle.stop('again')])
    expect([first, second]).toEqual([true, true])
    expect(order).toEqual(['http', 'journal', 'sql'])
  })

  test('one that fails or hangs keeps no other from closing', async () => {
    const lifecycle = createLifecycle({ logger, deadlineMilliseconds: 20 })
    const order: string[] = []
    lifecycle.onStop('last', async () => order.push('last'))
    lifecycle.onStop('broken', async () => Promise.reject(new Error('no')))
    lifecycle.onStop('throws', () => {
      throw new Error('at once')
    })
    lifecycle.onStop('hangs', () => new Promise(() => undefined))
    expect(await lifecycle.stop('test')).toBe(false)
    expect(order).toEqual(['last'])
  })
})

describe('signals', () => {
  const program = (stopper: string) => `
    import { createLifecycle } from ${JSON.stringify(new URL('./lifecycle.ts', import.meta.url).href)}
    const quiet = () => undefined
    const lifecycle = createLifecycle({ logger: { info: quiet, warn: quiet, error: quiet }, deadlineMilliseconds: 60_000 })
    lifecycle.onStop('work', async () => { console.log('stopping'); ${stopper} })
    lifecycle.handleSignals()
    setInterval(quiet, 1000)
    console.log('up')
  `
  const start = async (stopper: string) => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program(stopper)], {
      cwd: fileURLToPath(new URL('.', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    await expect.poll(() => output, { timeout: 20_000 }).toContain('up')
    return { child, output: () => output }
  }

  test('the first lets what runs finish and ends with 0', async () => {
    const { child, output } = await start("await new Promise((resolve) => setTimeout(resolve, 50)); console.log('finished')")
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(output()).toBe('up\nstopping\nfinished\n')
  })

  test('the second ends the process at once', async () => {
    const { child, output } = await start('await new Promise(() => undefined)')
    child.kill('SIGINT')
    await expect.poll(output).toContain('stopping')
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([130, null])
  })
})

describe('listen', () => {
  test('a port that is taken is named, with what to do', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    await expect(listen(fastify(), { host: '127.0.0.1', port })).rejects.toThrow(
      expect.objectContaining({ code: 'port_in_use', details: { host: '127.0.0.1', port }, message: expect.stringContaining('SOMA_PORT') }),
    )
    other.close()
  })

  test('an address of another machine is refused', async () => {
    await expect(listen(fastify(), { host: '192.0.2.1', port: 0 })).rejects.toThrow(expect.objectContaining({ code: 'invalid_input' }))
  })
})
