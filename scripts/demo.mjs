/** `npm run demo`: installs what is missing, then runs `soma demo` with the same words. Plain JavaScript, so that it runs before anything is installed. */
import { spawn } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const LEAST_NODE = [20, 19]
const root = dirname(dirname(fileURLToPath(import.meta.url)))

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < LEAST_NODE[0] || (major === LEAST_NODE[0] && minor < LEAST_NODE[1]))
  fail(`Node ${LEAST_NODE.join('.')} or newer is needed; this is ${process.versions.node}. Install it from nodejs.org.`)

const missing = whatIsMissing()
if (missing) {
  process.stderr.write(`${missing} This takes a minute or two, once.\n`)
  // What is there is brought up to date; from nothing the lock file alone decides.
  const words = [existsSync(join(root, 'node_modules')) ? 'install' : 'ci', '--no-fund', '--no-audit']
  const code = await run(...npm(words), ['ignore', process.stderr, process.stderr])
  if (code !== 0) fail('The install failed; what npm said above tells why. Try again with: npm install')
}
process.exitCode = await run(process.execPath, [join(root, 'apps/soma/bin/soma.mjs'), 'demo', ...process.argv.slice(2)], 'inherit')

/** npm notes what it installed; a lock file that is newer was not installed yet. */
function whatIsMissing() {
  const installed = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installed)) return 'Installing what SomaAgent needs.'
  const isOlder = statSync(installed).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs
  return isOlder ? 'package-lock.json changed since the last install: installing again.' : undefined
}

function npm(words) {
  const path = process.env.npm_execpath
  return path?.endsWith('.js') ? [process.execPath, [path, ...words]] : ['npm', words]
}

/** Gives the exit code. Signals reach the child: from a terminal by themselves, from elsewhere through us. */
function run(command, words, stdio) {
  return new Promise((resolve) => {
    const child = spawn(command, words, { stdio, cwd: command === process.execPath && words[1] === 'demo' ? process.cwd() : root })
    process.on('SIGINT', () => undefined)
    process.once('SIGTERM', () => child.kill('SIGTERM'))
    child.once('error', (error) => fail(`${command} can not be run (${error.code}).`))
    child.once('close', (code, signal) => resolve(code ?? (signal ? 1 : 0)))
  })
}

function fail(sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exit(1)
}
