import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, loadavg, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startPostgres } from './database.ts'
import manifest from './package.json' with { type: 'json' }
import { gate } from './scenarios/gate.ts'
import { journal } from './scenarios/journal.ts'
import { ledger } from './scenarios/ledger.ts'
import { PORTS, ports } from './scenarios/ports.ts'
import type { Outcome, Scenario } from './scenarios/scenario.ts'
import { start } from './scenarios/start.ts'
import { workflows } from './scenarios/workflows.ts'
import { printGoals, printTable } from './table.ts'

/** What runs unless scenarios are named: needs nothing that npm does not bring. */
const EVERYTHING: Readonly<Record<string, Scenario>> = { workflows, journal, ledger, gate, start }
const SCENARIOS: Readonly<Record<string, Scenario>> = { ...EVERYTHING, ports }
const HELP = `npm run bench -- [scenario…] [--rounds N] [--quick] [--json]

Scenarios: ${Object.keys(EVERYTHING).join(', ')}; all of these when none is named, here or by --only a,b.
           ports: the drivers on the real servers, which it installs and starts. --ports a,b for some of
           ${PORTS.join(', ')}.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    ports: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}
const named = [...positionals, ...(values.only?.split(',') ?? [])]
const names = named.length > 0 ? named : Object.keys(EVERYTHING)
const onlyPorts = values.ports?.split(',') as typeof PORTS | undefined
const rounds = Number(values.rounds ?? (values.quick ? 2 : 7))
const mistakes = [
  ...names.filter((name) => !(name in SCENARIOS)).map((name) => `There is no scenario "${name}".`),
  ...(onlyPorts ?? []).filter((port) => !PORTS.includes(port)).map((port) => `There is no port "${port}".`),
  ...(Number.isInteger(rounds) && rounds >= 1 ? [] : [`--rounds is a whole number from 1, not "${values.rounds}".`]),
]
if (mistakes.length > 0) {
  console.error([...mistakes, HELP].join('\n'))
  process.exit(2)
}

const say = (line: string) => console.error(line)
const startedAt = new Date()
const loadBefore = loadavg()[0] as number
const postgres = await startPostgres()
const outcomes: Record<string, Outcome> = {}
try {
  for (const name of names)
    outcomes[name] = await (SCENARIOS[name] as Scenario)({ postgres, rounds, quick: values.quick, ports: onlyPorts, say })
} finally {
  await postgres.stop()
}

const goals = Object.values(outcomes).flatMap((outcome) => outcome.goals)
const result = {
  at: startedAt.toISOString(),
  quick: values.quick,
  rounds,
  machine: {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryMB: Math.round(totalmem() / 2 ** 20),
    node: process.version,
    postgres: postgres.version,
    load: { before: loadBefore, after: loadavg()[0] as number },
  },
  versions: manifest.dependencies,
  goals,
  scenarios: Object.fromEntries(Object.entries(outcomes).map(([name, { tables, measured }]) => [name, { tables, measured }])),
}
const folder = fileURLToPath(new URL('results/', import.meta.url))
const file = `${folder}${startedAt.toISOString().slice(0, 19).replaceAll(':', '')}.json`
await mkdir(folder, { recursive: true })
const text = JSON.stringify(result, (_, value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value))
await writeFile(file, `${text}\n`)
if (values.json) console.log(text)
else {
  for (const { tables } of Object.values(outcomes)) for (const table of tables) printTable(table)
  printGoals(goals)
  const { cores, load } = result.machine
  console.log(`\nLoad average on ${cores} cores: ${load.before.toFixed(1)} before, ${load.after.toFixed(1)} after`)
  console.log(`All of it: ${file}`)
}
