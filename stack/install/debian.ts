import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cache } from '../cache.ts'

/**
 * A Debian package and what it needs beyond what the machine has, unpacked into the cache: no root, nothing configured, no service
 * started. `apt-get` checks the digests.
 * @returns the folder that stands for `/`
 */
export function installDebian(cache: Cache, name: string): Promise<string> {
  return cache.once(`debian/${name}`, async (draft) => {
    const packages = await missingPackages(cache, name).catch(async () => {
      await cache.run('apt-get', ['update'])
      return missingPackages(cache, name)
    })
    const archives = join(draft, 'archives')
    await mkdir(archives)
    await cache.run('apt-get', ['download', ...packages], { cwd: archives })
    for (const archive of await readdir(archives)) await cache.run('dpkg-deb', ['--extract', join(archives, archive), draft])
  })
}

/** The package itself, and those it needs that are not installed. */
async function missingPackages(cache: Cache, name: string): Promise<string[]> {
  const plan = await cache.run('apt-get', ['--simulate', '--no-install-recommends', 'install', name], { env: { LC_ALL: 'C' } })
  const missing = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, found]) => found as string)
  return [...new Set([name, ...missing])]
}

/** For programs of an unpacked package: where their libraries are. */
export function debianEnvironment(root: string): Record<string, string> {
  const folders = ['usr/lib', 'lib'].flatMap((folder) => [
    join(root, folder, `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`),
    join(root, folder),
  ])
  return { LD_LIBRARY_PATH: folders.join(':') }
}
