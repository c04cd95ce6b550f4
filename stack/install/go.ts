import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Cache } from '../cache.ts'

/**
 * Builds a Go program from the module proxy; Go checks its sums against the checksum database.
 * @param program `github.com/temporalio/cli/cmd/temporal`
 * @param version `v1.5.1`
 * @returns the binary
 */
export async function installGo(cache: Cache, program: string, version: string, binary = nameOf(program)): Promise<string> {
  const folder = await cache.once(`go/${binary}-${version}`, (draft) =>
    building(cache, (env) =>
      cache.run('go', ['install', '-trimpath', '-ldflags=-s -w', `${program}@${version}`], { env: { ...env, GOBIN: draft } }),
    ),
  )
  return join(folder, nameOf(program))
}

/**
 * Builds a program from the module of our own that is named after it: one that is put together from parts, or whose module has `replace`
 * lines, which `go install` refuses and ours repeats.
 * @param binary a folder of `stack/go` with go.mod, go.sum and main.go
 * @param version of the program that go.mod pins
 * @returns the binary
 */
export async function buildGo(cache: Cache, binary: string, version: string): Promise<string> {
  const folder = await cache.once(`go/${binary}-${version}`, (draft) =>
    building(cache, async (env) => {
      const module = `${draft}/module`
      await cp(fileURLToPath(new URL(`../go/${binary}`, import.meta.url)), module, { recursive: true })
      await cache.run('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', join(draft, binary), '.'], { cwd: module, env })
      await rm(module, { recursive: true })
    }),
  )
  return join(folder, binary)
}

/** Go's own cache of object files grows by gigabytes, so each build has one of its own that goes with it. */
async function building(cache: Cache, build: (env: Record<string, string>) => Promise<unknown>): Promise<void> {
  const objects = join(cache.folder, `go-build-${process.pid}`)
  try {
    await build({ CGO_ENABLED: '0', GOCACHE: objects })
  } finally {
    await rm(objects, { recursive: true, force: true })
  }
}

function nameOf(program: string): string {
  // A last part like `v2` is the module's major version.
  return program
    .replace(/\/v\d+$/, '')
    .split('/')
    .at(-1) as string
}
