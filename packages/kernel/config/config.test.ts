import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describeConfig, loadConfig } from './config.ts'
import { configurationReference, SETTINGS } from './settings.ts'

/** Put together here, so that no scan takes it for a real one. */
const DATABASE = ['postgres://soma', 'hunter2@db/soma'].join(':')

let cwd: string
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'soma-config-'))
})
afterEach(() => rm(cwd, { recursive: true, force: true }))

const load = (env: Record<string, string> = {}, more: Partial<Parameters<typeof loadConfig>[0]> = {}) => loadConfig({ cwd, env, ...more })
const file = (name: string, text: string) => writeFile(join(cwd, name), text)
const failure = (code: string, ...parts: string[]) =>
  expect.objectContaining({ code, message: expect.toSatisfy((message: string) => parts.every((part) => message.includes(part))) })

describe('where settings come from', () => {
  test('without any, the platform is reached from this machine only and keeps its data here', async () => {
    expect(await load()).toMatchObject({
      data: join(cwd, '.soma'),
      http: { host: '127.0.0.1', port: 8000 },
      services: [],
      sql: { poolSize: 20 },
    })
  })

  test('a file, then variables, then flags', async () => {
    await file('soma.config.json', '{"http":{"port":1,"host":"0.0.0.0"},"log":{"level":"warn"}}')
    const config = await load({ SOMA_PORT: '2', SOMA_LOG__LEVEL: 'error' }, { overrides: { http: { port: 3 } } })
    expect(config.http).toMatchObject({ port: 3, host: '0.0.0.0' })
    expect(config.log.level).toBe('error')
  })

  test.each([
    ['soma.config.ts', 'const port: number = 4\nexport default { http: { port } }'],
    ['soma.config.mjs', 'export default { http: { port: 4 } }'],
    ['soma.config.json', '\uFEFF{"http":{"port":4}}'],
  ])('%s is read', async (name, text) => {
    await file(name, text)
    expect((await load()).http.port).toBe(4)
  })

  test('a file can be named', async () => {
    await file('other.json', '{"services":["gateway-api"]}')
    expect((await load({ SOMA_CONFIG: 'other.json' })).services).toEqual(['gateway-api'])
    await expect(load({}, { file: 'missing.json' })).rejects.toThrow(failure('invalid_input', 'missing.json', 'does not exist'))
  })

  test('every type can be written as a variable', async () => {
    const config = await load({
      SOMA_DATA: '/data',
      SOMA_SERVICES: 'orchestrator, tool-service',
      SOMA_HTTP__TRUST_PROXY: 'true',
      SOMA_HTTP_BODY_LIMIT_BYTES: '2048',
      SOMA_BUDGETS__PROJECT: '{"tokens":10}',
      SOMA_EGRESS__ALLOW: '10.0.0.0/8,registry.local',
      SOMA_SQL_URL: DATABASE,
      SOMA_LOG_FORMAT: '',
      PATH: '/bin',
    })
    expect(config).toMatchObject({
      data: '/data',
      services: ['orchestrator', 'tool-service'],
      http: { trustProxy: true, bodyLimitBytes: 2048 },
      budgets: { project: { tokens: 10 }, tenant: {} },
      egress: { allow: ['10.0.0.0/8', 'registry.local'] },
      sql: { url: DATABASE },
      log: { format: 'auto' },
    })
  })

  test('what the command line, a driver or a tool reads by itself is left alone', async () => {
    await load({ SOMA_URL: 'http://127.0.0.1:8000', SOMA_API_KEY: 'soma_x', SOMA_MASTER_KEY: 'k', SOMA_BROWSER: '/usr/bin/chromium' })
  })
})

describe('what is refused', () => {
  test.each([
    [{ SOMA_PROT: '1' }, 'SOMA_PROT', 'SOMA_PORT'],
    [{ SOMA_HTTP__PROT: '1' }, 'SOMA_HTTP__PROT', 'SOMA_HTTP__PORT'],
    [{ SOMA_DATABASE_URL: 'x' }, 'SOMA_DATABASE_URL', 'SOMA_'],
  ])('the unknown variable in %j, with the nearest name', async (env, wrong, nearest) => {
    await expect(load(env)).rejects.toThrow(failure('unknown_configuration_key', wrong, `Did you mean ${nearest}`))
  })

  test.each([
    ['{"htpp":{}}', 'htpp', 'http'],
    ['{"http":{"prot":1}}', 'http.prot', 'http.port'],
    ['{"budgets":{"project":{"token":1}}}', 'budgets.project.token', 'budgets.project'],
  ])('the unknown key in %s, with the nearest name', async (text, wrong, nearest) => {
    await file('soma.config.json', text)
    await expect(load()).rejects.toThrow(
      failure('unknown_configuration_key', `key ${wrong} `, 'soma.config.json', `Did you mean ${nearest}?`),
    )
  })

  test('a value that does not hold, with where it stands', async () => {
    await expect(load({ SOMA_PORT: '99999' })).rejects.toThrow(failure('invalid_input', 'http.port', 'SOMA_PORT'))
    await expect(load({ SOMA_PORT: 'http' })).rejects.toThrow(failure('invalid_input', 'http.port', 'SOMA_PORT'))
    await expect(load({ SOMA_HTTP__TRUST_PROXY: 'perhaps' })).rejects.toThrow(failure('invalid_input', 'http.trustProxy'))
    await expect(load({ SOMA_BUDGETS__PROJECT: 'ten' })).rejects.toThrow(
      failure('invalid_input', 'SOMA_BUDGETS__PROJECT', 'JSON object', '"ten"'),
    )
    await file('soma.config.json', '{"drivers":{"vectors":"faiss"}}')
    await expect(load()).rejects.toThrow(failure('invalid_input', 'drivers.vectors', 'lancedb', 'soma.config.json'))
  })

  test('a secret that does not hold is not shown', async () => {
    await expect(load({ SOMA_SQL_URL: ['mysql://root', 'hunter2@db'].join(':') })).rejects.toThrow(
      expect.toSatisfy(
        (error: Error) => error.message.includes('SOMA_SQL_URL') && !JSON.stringify([error.message, error]).includes('hunter2'),
      ),
    )
    await expect(load({ SOMA_TELEMETRY__OTLP_HEADERS: 'key=hunter2' })).rejects.toThrow(
      expect.toSatisfy((error: Error) => !error.message.includes('hunter2')),
    )
  })

  test('one setting under two names with two values', async () => {
    await expect(load({ SOMA_PORT: '1', SOMA_HTTP__PORT: '2' })).rejects.toThrow(
      failure('invalid_input', 'SOMA_PORT', 'SOMA_HTTP__PORT', 'http.port'),
    )
    expect((await load({ SOMA_PORT: '1', SOMA_HTTP__PORT: '1' })).http.port).toBe(1)
  })

  test.each([
    ['soma.config.json', '{"http":', 'can not be read'],
    ['soma.config.json', '[]', 'must hold an object'],
    ['soma.config.json', '', 'can not be read'],
    ['soma.config.mjs', 'export const port = 1', 'default export'],
    ['soma.config.mjs', 'throw new Error("oh")', 'oh'],
  ])('%s with %j', async (name, text, words) => {
    await file(name, text)
    await expect(load()).rejects.toThrow(failure('invalid_input', name, words))
  })

  test('two files', async () => {
    await file('soma.config.json', '{}')
    await file('soma.config.mjs', 'export default {}')
    await expect(load()).rejects.toThrow(failure('invalid_input', 'soma.config.json', 'soma.config.mjs', 'Keep one'))
  })
})

test('secrets are never printed', async () => {
  const config = await load({ SOMA_SQL_URL: DATABASE, SOMA_TELEMETRY__OTLP_HEADERS: '{"x-key":"hunter2"}' })
  const shown = describeConfig(config)
  expect(shown).toMatchObject({ 'sql.url': '[secret]', 'telemetry.otlpHeaders': '[secret]', 'http.port': 8000 })
  expect(JSON.stringify(shown)).not.toContain('hunter2')
  expect(describeConfig(await load())).toMatchObject({ 'sql.url': undefined, 'telemetry.otlpHeaders': {} })
})

test('every setting is described, and every name means one setting', () => {
  for (const setting of SETTINGS) expect(setting.description, setting.path).not.toBe('')
  const names = SETTINGS.flatMap((setting) => setting.variables)
  expect(new Set(names).size).toBe(names.length)
  expect(configurationReference()).toContain('| `http.port` | `SOMA_PORT` `SOMA_HTTP__PORT` `SOMA_HTTP_PORT` | number | `8000` |')
})
