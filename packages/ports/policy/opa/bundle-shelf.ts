import type { KeyObject } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { type Bundle, type BundleFile, packBundle, readDecisionFile } from './bundle.ts'
import type { BundleSource } from './bundle-server.ts'

export interface BundleShelf extends BundleSource {
  /** Makes these rules (see `policyFile`) what the next bundle holds, and tells those that wait for one. */
  show(policies: readonly BundleFile[]): void
}

/** Keeps the newest bundle, packed when somebody first asks for it. */
export function createBundleShelf(key: KeyObject): BundleShelf {
  const changes = new EventEmitter()
  const pack = async (policies: readonly BundleFile[]) => packBundle([await readDecisionFile(), ...policies], key)
  let shown: readonly BundleFile[] = []
  let packed: Promise<Bundle> | undefined
  return {
    changes,
    show(policies) {
      shown = policies
      packed = undefined
      changes.emit('change')
    },
    current() {
      const bundle = packed ?? pack(shown)
      packed = bundle
      bundle.catch(() => {
        packed = undefined
      })
      return bundle
    },
  }
}
