import { z } from 'zod'
import type { Secrets } from './port.ts'
import { requirePrefix, requireSecret, requireValue, requireVersion } from './rules.ts'
import { createVaultClient, type VaultOptions } from './vault-client.ts'
import { keepTokenAlive } from './vault-token.ts'

/** Folder of the platform below the mount, so that others may use the mount too. */
const FOLDER = 'soma'
/** Versions that the engine keeps of a secret; without saying so it keeps 10. Its index of them must fit into one entry. */
const VERSIONS_KEPT = 5_000
const LOOK_AT_ONCE = 16

const Written = z.object({ data: z.object({ version: z.number().int() }) })
const Read = z.object({ data: z.object({ data: z.object({ value: z.string() }) }) })
const Names = z.object({ data: z.object({ keys: z.array(z.string()) }) })
const Metadata = z.object({
  data: z.object({
    current_version: z.number().int(),
    versions: z.record(z.string(), z.object({ created_time: z.string(), deletion_time: z.string(), destroyed: z.boolean() })),
  }),
})
const Health = z.object({ version: z.string() })

/**
 * The secrets port on Vault or OpenBao: `<mount>/soma/<tenant>/<name>` in a key-value engine of version 2, each value in its field
 * `value`. Vault's own audit log says who read what. A name is one segment of the path, so that a tenant is one folder.
 * @param options.onTrouble when the token could not be renewed
 * @throws `invalid_input` when the address or the token is not set
 */
export async function openVaultSecrets(options: VaultOptions & { onTrouble(error: unknown): void }): Promise<Secrets> {
  const vault = createVaultClient(options)
  const stopRenewing = keepTokenAlive(vault, options.onTrouble)
  const mount = options.mount.split('/').map(encodeURIComponent).join('/')
  const dataOf = (tenant: string, name: string) => `${mount}/data/${FOLDER}/${tenant}/${segmentOf(name)}`
  const metadataOf = (tenant: string, name: string) => `${mount}/metadata/${FOLDER}/${tenant}/${segmentOf(name)}`

  async function namesOf(tenant: string): Promise<string[]> {
    const found = await vault.find(Names, { method: 'LIST', path: `${mount}/metadata/${FOLDER}/${tenant}/` })
    return (found?.data.keys ?? []).map(decodeURIComponent)
  }

  /** Undefined when it was deleted meanwhile, or only its newest version was, by hand. */
  async function describe(tenant: string, name: string): Promise<{ name: string; version: number; updatedAt: string } | undefined> {
    const found = await vault.find(Metadata, { method: 'GET', path: metadataOf(tenant, name) })
    const version = found?.data.current_version ?? 0
    const newest = found?.data.versions[version]
    if (!newest || newest.destroyed || newest.deletion_time !== '') return undefined
    return { name, version, updatedAt: new Date(newest.created_time).toISOString() }
  }

  return {
    write: async (tenant, name, value) => {
      requireSecret(tenant, name)
      requireValue(name, value)
      // Before each write, not only the first: another process may have deleted the secret, and this with it.
      await vault.tell({ method: 'POST', path: metadataOf(tenant, name), body: { max_versions: VERSIONS_KEPT } })
      const { data } = await vault.ask(Written, { method: 'POST', path: dataOf(tenant, name), body: { data: { value } } })
      return { version: data.version }
    },
    read: async (tenant, name, version) => {
      requireSecret(tenant, name)
      requireVersion(version)
      const found = await vault.find(Read, { method: 'GET', path: `${dataOf(tenant, name)}?version=${version ?? 0}` })
      return found?.data.data.value
    },
    delete: async (tenant, name) => {
      requireSecret(tenant, name)
      await vault.tell({ method: 'DELETE', path: metadataOf(tenant, name) })
    },
    list: async (tenant, prefix = '') => {
      requirePrefix(tenant, prefix)
      const names = (await namesOf(tenant)).filter((name) => name.startsWith(prefix)).sort(inByteOrder)
      const described = []
      for (let at = 0; at < names.length; at += LOOK_AT_ONCE)
        described.push(...(await Promise.all(names.slice(at, at + LOOK_AT_ONCE).map((name) => describe(tenant, name)))))
      return described.filter((secret) => secret !== undefined)
    },
    rotateKeys: async () => {
      await vault.tell({ method: 'POST', path: 'sys/rotate' })
      return { rotated: 0 }
    },
    version: async () => {
      const { version } = await vault.ask(Health, { method: 'GET', path: 'sys/health?standbyok=true&perfstandbyok=true' })
      return version
    },
    close: async () => stopRenewing(),
  }
}

/**
 * A name as one segment of a path of the engine: readable where it can be. Vault refuses `..` wherever it stands, so a dot is written
 * out as well; what comes back is encoded once more for the URL.
 */
function segmentOf(name: string): string {
  return encodeURIComponent(encodeURIComponent(name).replaceAll('.', '%2E'))
}

function inByteOrder(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}
