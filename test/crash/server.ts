import { ADAPTERS } from '@soma/cli/adapters'
import { SERVICES } from '@soma/cli/services'
import { loadConfig } from '@soma/kernel/config/config'
import { openPlatform } from '@soma/kernel/platform/open-platform'
import { createLogger } from '@soma/kernel/telemetry/log'
import { worldAdapter } from './world.ts'

/** The platform with the world as one more tool: a process that the crash test kills. Arguments: data folder, world folder; settings in CRASH_SETTINGS. */
const [data, world] = process.argv.slice(2) as [string, string]
const env = JSON.parse(process.env.CRASH_SETTINGS as string) as Record<string, string>
const settings = Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith('SOMA_')))
const config = await loadConfig({
  cwd: data,
  env: settings,
  overrides: { data, http: { port: 0 }, log: { level: 'warn', format: 'json' } },
})
const platform = await openPlatform({
  config,
  services: SERVICES,
  adapters: [...ADAPTERS, worldAdapter(world)],
  logger: await createLogger(config.log),
  version: 'crash',
})
platform.lifecycle.handleSignals()
process.send?.({ url: platform.url })
