import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BundleFile, policyFile, readBundleKey } from '@soma/ports/policy/opa/bundle'
import { type BundleSource, serveBundles } from '@soma/ports/policy/opa/bundle-server'
import { createBundleShelf } from '@soma/ports/policy/opa/bundle-shelf'
import { openOpaPolicy } from '@soma/ports/policy/opa/opa'
import type { Policy, PolicyData } from '@soma/ports/policy/port'
import { opa } from '@soma/stack/servers/opa'
import { openStack } from '@soma/stack/stack'

/** An OPA in a stack of its own, and what the policy-engine does for it: a server of bundles that holds whatever rules are loaded. */
export async function openOpaWorld() {
  const stack = openStack([opa], await mkdtemp(join(tmpdir(), 'soma-opa-')))
  await stack.up(['opa'])
  const env = await stack.env()
  const setting = (name: string) => env[`SOMA_OPA_${name}`] as string
  const key = readBundleKey(setting('SIGNING_KEY'))
  const shelf = createBundleShelf(key)
  const shown = new Map<string, BundleFile>()
  const troubles: unknown[] = []
  let source: BundleSource = shelf

  const serve = () =>
    serveBundles({
      host: '127.0.0.1',
      port: Number(setting('BUNDLE_PORT')),
      token: setting('BUNDLE_TOKEN'),
      source: { changes: shelf.changes, current: () => source.current() },
      onTrouble: (error) => troubles.push(error),
    })
  let server = await serve()

  /** Puts rules into the bundle, beside those that are there. */
  function show(...all: PolicyData[]): void {
    const files = all.map((data) => ({ version: data.version, file: policyFile(data) }))
    if (files.every(({ version }) => shown.has(version))) return
    for (const { version, file } of files) shown.set(version, file)
    shelf.show([...shown.values()])
  }

  return {
    stack,
    key,
    url: setting('URL'),
    token: setting('TOKEN'),
    troubles,
    show,
    /** The driver, where loading also puts the rules in the bundle, as the policy-engine has done when the gate loads them. */
    async open(): Promise<Policy> {
      const policy = await openOpaPolicy({ url: setting('URL'), token: setting('TOKEN') })
      return {
        ...policy,
        load: async (tenant, data) => {
          show(data)
          await policy.load(tenant, data)
        },
      }
    },
    /** Serves something else from now on; without an argument the right bundle again. */
    serveInstead(other: BundleSource['current'] = shelf.current) {
      source = { changes: shelf.changes, current: other }
      shelf.changes.emit('change')
    },
    current: () => shelf.current(),
    bundleServer: {
      stop: () => server.close(),
      start: async () => {
        server = await serve()
      },
    },
    async close() {
      await server.close()
      await stack.remove()
    },
  }
}
