import type { Constitution } from '@soma/contracts/constitution'
import { SomaError } from '@soma/contracts/errors'
import { checkConstitution, parseConstitution } from '@soma/ports/policy/check'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import { PLATFORM, type Versions } from './versions.ts'

/**
 * Reads a tenant's rules with those that they stand on, and runs their tests.
 * @returns what would be in force together
 * @throws `invalid_input` with every problem and its line
 */
export async function checkRules(versions: Versions, tenant: string, yaml: string): Promise<Constitution[]> {
  const base = await baseOf(versions, tenant)
  const { constitution, problems } = await checkConstitution(yaml, () => openWasmPolicy(), base)
  if (constitution && problems.length === 0) return [...base, constitution]
  const lines = problems.map((problem) => `line ${problem.line}: ${problem.message}`)
  throw new SomaError('invalid_input', `The constitution does not hold. ${lines.slice(0, 5).join(' ')}`, { problems })
}

/** The rules that a tenant's own stand on. */
async function baseOf(versions: Versions, tenant: string): Promise<Constitution[]> {
  const base = tenant === PLATFORM ? undefined : await versions.newest(PLATFORM)
  return base ? [parseConstitution(base.yaml)] : []
}
