// Installs what only the benchmarks need, when it is missing, and runs them.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
if (!existsSync(`${here}node_modules/.package-lock.json`)) {
  console.error('Installing the peers that the benchmarks compare with (once; about 300 MB) …')
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const { status } = spawnSync(npm, ['ci', '--no-audit', '--no-fund'], {
    cwd: here,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (status !== 0) process.exit(status ?? 1)
}
const { status } = spawnSync(process.execPath, ['--import', 'tsx', `${here}main.ts`, ...process.argv.slice(2)], { stdio: 'inherit' })
process.exit(status ?? 1)
