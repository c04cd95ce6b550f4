import { readFile } from 'node:fs/promises'
import { SomaError } from '@soma/contracts/errors'
import { checkConstitution, parseConstitution, testConstitution } from '@soma/ports/policy/check'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import { EXIT } from '../exit-codes.ts'
import { type Session, UsageError } from '../session.ts'
import { count } from '../text.ts'

const PLATFORM_RULES = new URL('../../../policies/constitution.yaml', import.meta.url)

/** A file's text. @throws UsageError */
export function readRules(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(cause.code === 'ENOENT' ? `There is no file ${file}.` : `${file} can not be read (${cause.code}).`, { file })
  })
}

/** What a tenant's rules stand on: those that this program comes with. */
async function baseRules({ base }: { base: boolean }) {
  return base ? [parseConstitution(await readFile(PLATFORM_RULES, 'utf8'))] : []
}

export interface BaseOption {
  /** False for rules that stand on no others, as the platform's. */
  base: boolean
}

export async function validate(session: Session, files: readonly string[], option: BaseOption): Promise<void> {
  const { paint } = session.terminal
  const base = await baseRules(option)
  const results = []
  for (const file of files) {
    const { constitution, problems } = await checkConstitution(await readRules(file), openWasmPolicy, base)
    const rules = constitution?.rules.length ?? 0
    results.push({ file, valid: problems.length === 0, rules, tests: constitution?.tests.length ?? 0, problems })
  }
  session.exitCode = results.every(({ valid }) => valid) ? EXIT.done : EXIT.failed
  const lines = results.flatMap(({ file, valid, rules, tests, problems }) =>
    valid
      ? [`${paint.green('valid')}  ${file}  ${count(rules, 'rule')}, ${count(tests, 'test')}`]
      : [`${paint.red('wrong')}  ${file}`, ...problems.map(({ line, column, message }) => `  ${line}:${column}  ${message}`)],
  )
  session.terminal.answer({ valid: session.exitCode === EXIT.done, files: results }, lines.join('\n'))
}

export async function test(session: Session, files: readonly string[], option: BaseOption): Promise<void> {
  const { paint } = session.terminal
  const base = await baseRules(option)
  const results = []
  const lines: string[] = []
  for (const file of files) {
    const constitution = parseConstitution(await readRules(file))
    const tests = await testConstitution(constitution, base, openWasmPolicy).catch((error: unknown) => {
      if (SomaError.is(error, 'conflict')) throw new UsageError(error.message, error.details)
      throw error
    })
    results.push({ file, tests })
    lines.push(`${file}  ${count(tests.length, 'test')}`)
    for (const { name, passed, expected, given } of tests) {
      lines.push(`  ${passed ? paint.green('pass') : paint.red('fail')}  ${name}`)
      if (!passed) lines.push(`        expected ${expected}`, `        but was  ${given}`)
    }
  }
  const all = results.flatMap(({ tests }) => tests)
  const passed = all.filter((each) => each.passed).length
  session.exitCode = passed === all.length ? EXIT.done : EXIT.failed
  lines.push(`${passed} passed, ${all.length - passed} failed`)
  session.terminal.answer({ passed, failed: all.length - passed, files: results }, lines.join('\n'))
}
