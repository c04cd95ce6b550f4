import { spawn } from 'node:child_process'

/** Types, lint, dependency rules, dead code: each prints only when something is wrong. */
const CHECKS = [
  ['types', 'tsc', ['-p', '.']],
  ['lint', 'biome', ['check', '--error-on-warnings', '.']],
  [
    'imports',
    'depcruise',
    [
      '--config',
      '.dependency-cruiser.cjs',
      '--output-type',
      'err',
      'apps',
      'packages',
      'services',
      'tools',
      'test',
      'scripts',
      'stack',
      'policies',
      'capsules',
    ],
  ],
  ['dead code', 'knip', ['--no-progress']],
]

const results = await Promise.all(CHECKS.map(([name, program, args]) => run(name, program, args)))
for (const { name, ok, output, seconds } of results) {
  console.log(`${ok ? 'ok    ' : 'failed'} ${name} (${seconds.toFixed(1)} s)`)
  if (!ok) console.log(output)
}
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1

function run(name, program, args) {
  const began = performance.now()
  return new Promise((resolve) => {
    const child = spawn('npx', ['--no-install', program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    })
    let output = ''
    child.stdout.on('data', (text) => (output += text))
    child.stderr.on('data', (text) => (output += text))
    child.on('error', (error) => resolve({ name, ok: false, output: String(error), seconds: 0 }))
    child.on('close', (code) => resolve({ name, ok: code === 0, output, seconds: (performance.now() - began) / 1000 }))
  })
}
