import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

/**
 * Memory of these processes and of all that they started, in MB. What several of them share, as PostgreSQL's do, counts once: it is the
 * sum of their proportional set sizes, which only Linux knows.
 */
export async function memoryOfTrees(roots: readonly number[]): Promise<number> {
  const children = await readChildren()
  const family = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(family)]
  const kilobytes = await Promise.all(roots.flatMap(family).map(readKilobytes))
  return Math.round(kilobytes.reduce((sum, each) => sum + each, 0) / 1024)
}

async function readChildren(): Promise<Map<number, number[]>> {
  const { stdout } = await promisify(execFile)('ps', ['-e', '-o', 'pid=,ppid='])
  const children = new Map<number, number[]>()
  for (const line of stdout.trim().split('\n')) {
    const [pid, parent] = line.trim().split(/\s+/).map(Number) as [number, number]
    children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  return children
}

async function readKilobytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // It ended meanwhile.
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return 'Pss: 0 kB'
    throw error
  })
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1])
}
