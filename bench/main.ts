import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startPostgres } from './database.ts'
import manifest from './package.json' with { type: 'json' }
import { gate } from './scenarios/gate.ts'
import { journal } from './scenarios/journal.ts'
import type { Outcome, Scenario } from './scenarios/scenario.ts'
import { start } from './scenarios/start.ts'
import { workflows } from './scenarios/workflows.ts'
import { printGoals, printTable } from './table.ts'

const SCENARIOS: Readonly<Record<string, Scenario>> = { workflows, journal, gate, start }
const HELP = `npm run bench -- [--only ${Object.keys(SCENARIOS).join(',')}] [--rounds N] [--quick] [--json]`

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
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
const names = values.only?.split(',') ?? Object.keys(SCENARIOS)
const rounds = Number(values.rounds ?? (values.quick ? 2 : 7))
const unknown = names.find((name) => !(name in SCENARIOS))
if (unknown !== undefined || !Number.isInteger(rounds) || rounds < 1) {
  console.error(unknown === undefined ? `--rounds is a whole number from 1, not "${values.rounds}".` : `There is no scenario "${unknown}".`)
  console.error(HELP)
  process.exit(2)
}

const say = (line: string) => console.error(line)
const startedAt = new Date()
const postgres = await startPostgres()
const outcomes: Record<string, Outcome> = {}
try {
  for (const name of names) outcomes[name] = await (SCENARIOS[name] as Scenario)({ postgres, rounds, quick: values.quick, say })
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
  console.log(`\nAll of it: ${file}`)
}
