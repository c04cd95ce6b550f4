import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SERVICES } from '@soma/cli/services'
import { fromStack } from '@soma/ports/testing'
import { openCache } from '@soma/stack/cache'
import { debianEnvironment } from '@soma/stack/install/debian'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort, openPlatformProcesses, type PlatformProcess, type PlatformProcesses } from './platform-process.ts'

const DEPLOYED = fileURLToPath(new URL('../../deploy/prometheus', import.meta.url))

/** Prometheus's own checker, of the version that runs. @throws with what it found */
async function promtool(...words: string[]): Promise<void> {
  const cache = openCache()
  await cache.run(cache.path('debian/prometheus', 'usr/bin/promtool'), words, {
    cwd: DEPLOYED,
    env: debianEnvironment(cache.path('debian/prometheus')),
  })
}

async function filesOf(folder: 'rules' | 'tests'): Promise<string[]> {
  return (await readdir(join(DEPLOYED, folder))).map((name) => join(folder, name)).sort()
}

async function ask<Answer>(path: string, query: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${fromStack('PROMETHEUS_URL')}/api/v1/${path}?${new URLSearchParams(query)}`)
  return ((await response.json()) as { data: Answer }).data
}

async function valuesOf(query: string): Promise<string[]> {
  const { result } = await ask<{ result: { value: [number, string] }[] }>('query', { query })
  return result.map(({ value }) => value[1])
}

interface Rule {
  name: string
  type: 'alerting' | 'recording'
  query: string
  state?: string
  health: string
}
async function readRules(): Promise<Rule[]> {
  const { groups } = await ask<{ groups: { rules: Rule[] }[] }>('rules')
  return groups.flatMap(({ rules }) => rules)
}

const WORDS = new Set(['and', 'or', 'unless', 'by', 'without', 'on', 'ignoring', 'sum', 'max', 'min'])

/** The metrics that an expression reads: its names, less functions, labels, what stands in quotes and durations. */
function metricsIn(query: string): string[] {
  const names = query
    .replace(/"[^"]*"/g, '')
    .replace(/\{[^}]*\}|\[[^\]]*\]/g, ' ')
    .replace(/\b(by|without|on|ignoring) ?\([^)]*\)/g, ' ')
    .matchAll(/(?<![\w:.])[a-z_][\w:]*\b(?! *\()/g)
  return [...names].map(([name]) => name).filter((name) => !WORDS.has(name))
}

describe('monitoring: prometheus', () => {
  let platform: PlatformProcesses
  let most: PlatformProcess
  let tools: PlatformProcess
  const targets = join(fromStack('PROMETHEUS_TARGETS'), `${process.pid}.json`)
  beforeAll(async () => {
    platform = await openPlatformProcesses()
    const [mostPort, toolsPort] = [await freePort(), await freePort()]
    const others = SERVICES.map(({ name }) => name).filter((name) => name !== 'tool-service')
    most = await platform.start(others, { port: mostPort, peerUrl: `http://127.0.0.1:${toolsPort}` })
    tools = await platform.start(['tool-service'], { port: toolsPort, peerUrl: most.url })
    await writeFile(targets, JSON.stringify([{ targets: [new URL(most.url).host, new URL(tools.url).host] }]))
  })
  afterAll(async () => {
    await rm(targets, { force: true })
    await platform?.close()
  })

  test('the configuration and the rules are right, and the rules do what their tests say', async () => {
    await promtool('check', 'config', 'prometheus.yml')
    await promtool('check', 'rules', ...(await filesOf('rules')))
    await promtool('test', 'rules', ...(await filesOf('tests')))
  })

  test('every alert has a test', async () => {
    const tests = (await Promise.all((await filesOf('tests')).map((file) => readFile(join(DEPLOYED, file), 'utf8')))).join('\n')
    const alerts = (await readRules()).filter(({ type }) => type === 'alerting').map(({ name }) => name)
    expect(alerts.length).toBeGreaterThan(10)
    for (const alert of alerts) expect(tests).toContain(alert)
  })

  test('every process of the platform is scraped', async () => {
    const up = `up{instance=~"${new URL(most.url).host}|${new URL(tools.url).host}"}`
    await expect.poll(() => valuesOf(up)).toEqual(['1', '1'])
    await expect.poll(() => valuesOf(`process_resident_memory_bytes{instance="${new URL(tools.url).host}"}`)).toHaveLength(1)
  })

  test('every metric that a rule reads is one that the platform shows, or that another rule records', async () => {
    const rules = await readRules()
    const shown = await (await fetch(new URL('/metrics', most.url))).text()
    const known = new Set(['up', ...rules.filter(({ type }) => type === 'recording').map(({ name }) => name)])
    for (const [, name, type] of shown.matchAll(/^# TYPE (\S+) (\S+)$/gm))
      known.add(type === 'histogram' ? `${name}_bucket` : (name as string))
    const read = new Set(rules.flatMap(({ query }) => metricsIn(query)))
    expect(read.size).toBeGreaterThan(15)
    expect([...read].filter((name) => !known.has(name))).toEqual([])
    expect(rules.filter(({ health }) => health === 'err')).toEqual([])
  })

  test('an alert fires when what it watches for happens, and ends with it', async () => {
    const stateOf = async (name: string) => (await readRules()).find((rule) => rule.name === name)?.state
    await expect.poll(() => stateOf('SomaKillSwitchOn')).toBe('inactive')
    const pulled = await platform.call(most.url, '/v1/kill-switches', { body: { scope: 'tool', target: 'http', reason: 'a test' } })
    const { id } = (await pulled.json()) as { id: string }
    await expect.poll(() => stateOf('SomaKillSwitchOn')).toBe('firing')
    await platform.call(most.url, `/v1/kill-switches/${id}/lift`, { body: {} })
    await expect.poll(() => stateOf('SomaKillSwitchOn')).toBe('inactive')
  })
})
