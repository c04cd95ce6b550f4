import type { KeyObject } from 'node:crypto'
import { POLICY_BUNDLE } from '@soma/kernel/gate/gate'
import type { ServiceContext } from '@soma/kernel/http/service'
import type { SigningKey } from '@soma/kernel/keys/keys'
import { bodyOf, servicePrincipal } from '@soma/kernel/platform/internal-fetch'
import { type BundleFile, policyFile } from '@soma/ports/policy/opa/bundle'
import type { BundleSource } from '@soma/ports/policy/opa/bundle-server'
import { createBundleShelf } from '@soma/ports/policy/opa/bundle-shelf'
import { compileRules, PLATFORM, type RulesInForce } from './compile-rules.ts'

/** Milliseconds for which rules stay in the bundle that were replaced: gates that have not heard of the change still ask for them. */
const KEEP_REPLACED = 60_000

interface Listing {
  base: RulesInForce['base']
  /** The newest rules of each tenant that has its own. */
  overlays: { tenant: string; digest: string }[]
}

export interface Bundles extends BundleSource {
  /** Rules may have changed: who waits for a bundle looks again. */
  lookAgain(): void
}

/** The bundle for OPAs: the rules of every tenant. Each tenant's are compiled once, and read again only when they have changed. */
export function createBundles({
  fetchAs,
  logger,
  key,
  rulesKey,
}: Pick<ServiceContext, 'fetchAs' | 'logger'> & {
  /** Signs the bundle. */
  key: KeyObject
  /** Has signed the rules. */
  rulesKey: Pick<SigningKey, 'id' | 'publicKey'>
}): Bundles {
  const shelf = createBundleShelf(key)
  const compiled = new Map<string, { file: BundleFile; until: number }>()
  let isStale = true
  let refreshing: Promise<void> | undefined

  const read = <Body>(tenant: string, path: string) =>
    bodyOf<Body>(fetchAs({ ...servicePrincipal('policy-engine', tenant), capabilities: [POLICY_BUNDLE] })(path))

  async function refresh(): Promise<void> {
    isStale = false
    try {
      const { base, overlays } = await read<Listing>(PLATFORM, '/v1/constitution/tenants')
      const wanted = new Set([keyOf(base), ...overlays.map((overlay) => keyOf(base, overlay))])
      keep(PLATFORM, { base, overlay: null })
      const missing = overlays.filter((overlay) => !compiled.has(keyOf(base, overlay)))
      await Promise.all(missing.map(({ tenant }) => keepTenant(tenant)))
      retire(wanted)
      shelf.show([...compiled.values()].map(({ file }) => file))
    } catch (error) {
      isStale = true
      throw error
    }
  }

  /** One tenant's trouble is not the others': what can't be compiled is left out, and its tenant may do nothing. */
  async function keepTenant(tenant: string): Promise<void> {
    try {
      keep(tenant, await read<RulesInForce>(tenant, '/v1/constitution/rules'))
    } catch (error) {
      logger.error({ err: error, tenant }, 'the rules of a tenant are left out of the bundle')
    }
  }

  function keep(tenant: string, rules: RulesInForce): void {
    const name = keyOf(rules.base, rules.overlay)
    if (compiled.has(name)) return
    compiled.set(name, { file: policyFile(compileRules(tenant, rules, rulesKey)), until: Number.POSITIVE_INFINITY })
  }

  function retire(wanted: ReadonlySet<string>): void {
    const now = Date.now()
    for (const [name, entry] of compiled) {
      if (wanted.has(name)) entry.until = Number.POSITIVE_INFINITY
      else entry.until = Math.min(entry.until, now + KEEP_REPLACED)
      if (entry.until <= now) compiled.delete(name)
    }
  }

  return {
    changes: shelf.changes,
    lookAgain() {
      isStale = true
      shelf.changes.emit('change')
    },
    async current() {
      while (isStale || refreshing) {
        refreshing ??= refresh().finally(() => {
          refreshing = undefined
        })
        await refreshing
      }
      return shelf.current()
    },
  }
}

function keyOf(base: { digest: string }, overlay?: { digest: string } | null): string {
  return `${base.digest} ${overlay?.digest ?? ''}`
}
