import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { styleText } from 'node:util'
import { Command } from 'commander'
import { SERVERS } from './servers.ts'
import { openStack, type Progress, type ServerStatus } from './stack.ts'

const stack = openStack(SERVERS)
const shown = relative(process.cwd(), stack.folder) || stack.folder

const program = new Command('stack')
  .description('Real servers behind the ports of the platform, on this machine, without Docker.')
  .configureHelp({ helpWidth: 80 })
  .showSuggestionAfterError()
  .option('--json', 'Answer with one JSON document')
  .addHelpText(
    'after',
    `
Servers: ${SERVERS.map(({ name }) => name).join(', ')}
Without names, all of them.

Environment:
  SOMA_STACK        folder with data, logs and stack.env (default ./.stack)
  SOMA_STACK_CACHE  what was installed (default ~/.cache/soma-stack)

Examples (npm run stack -- …):
  up                     install and start everything
  up postgres redis      only these, and what they need
  logs kafka --follow    read along
  down                   stop; the data stay
`,
  )

program
  .command('up')
  .argument('[names...]')
  .description('Install and start; what runs already stays')
  .action(async (names: string[]) => {
    await stack.up(names, tell)
    await showStatus(names, false)
    if (!isJson()) console.log(`\nThe platform on them:  npm start -- --profile stack\nAddresses:             ${join(shown, 'stack.env')}`)
  })

program
  .command('down')
  .argument('[names...]')
  .option('--delete', 'Also throw the data away')
  .description('Stop; the data stay')
  .action(async (names: string[], options: { delete?: boolean }) => {
    if (options.delete && names.length > 0) throw new Error('--delete throws everything away; it takes no names.')
    await (options.delete ? stack.remove(tell) : stack.down(names, { progress: tell }))
    if (isJson()) console.log(JSON.stringify({ stopped: names.length > 0 ? names : 'all' }))
  })

program
  .command('status')
  .description('What runs, where, and whether it answers; exit code 1 when something started does not')
  .action(() => showStatus([], true))

program
  .command('logs')
  .argument('<name>')
  .option('-f, --follow', 'Go on with what comes')
  .description('Show what a server said')
  .action(async (name: string, { follow }: { follow?: boolean }) => {
    await stack.stateOf(name)
    const folder = join(stack.folder, name)
    const files = (await readdir(folder)).filter((file) => file.endsWith('.log'))
    const tail = spawn('tail', ['-n', '200', ...(follow ? ['-F'] : []), ...files], { cwd: folder, stdio: 'inherit' })
    await once(tail, 'close')
  })

async function showStatus(names: readonly string[], isQuestion: boolean): Promise<void> {
  const all = (await stack.status()).filter(({ server }) => names.length === 0 || names.includes(server.name))
  const isWell = all.every(({ isReady, processes }) => isReady || processes.length === 0)
  if (!isWell) process.exitCode = 1
  if (isJson()) console.log(JSON.stringify({ ok: isWell, env: join(stack.folder, 'stack.env'), servers: all.map(toJson) }, null, 2))
  else if (isQuestion) for (const status of all) console.log(statusLine(status))
}

function statusLine({ server, processes, version, ports, isReady }: ServerStatus): string {
  const sign = isReady ? paint('green', '✔') : processes.length > 0 ? paint('red', '✖') : paint('dim', '-')
  const state = isReady ? `${version}  ${Object.values(ports).join(', ')}` : processes.length > 0 ? 'does not answer' : 'not started'
  return `${sign} ${server.name.padEnd(12)} ${state.padEnd(32)} ${paint('dim', server.summary)}`
}

function toJson({ server, ...status }: ServerStatus): Record<string, unknown> {
  return { name: server.name, pinned: server.version, ...status }
}

const tell: Progress = ({ name }, step, milliseconds, detail = '') => {
  if (isJson() || (step === 'installed' && milliseconds < 500)) return
  const time = milliseconds >= 1 ? `${(milliseconds / 1000).toFixed(1)} s` : ''
  console.log(`${name.padEnd(14)} ${step.padEnd(10)} ${time.padStart(8)}  ${paint('dim', detail)}`)
}

/** Colour only where a person looks. */
function paint(style: 'green' | 'red' | 'dim', text: string): string {
  return process.stdout.isTTY && !process.env.NO_COLOR ? styleText(style, text) : text
}

function isJson(): boolean {
  return program.opts<{ json?: boolean }>().json === true
}

try {
  await program.parseAsync()
} catch (error) {
  const message = error instanceof Error ? error.message : String(error)
  if (isJson()) console.log(JSON.stringify({ error: { message } }))
  else console.error(`${paint('red', 'error')}: ${message}`)
  process.exitCode = 1
}
