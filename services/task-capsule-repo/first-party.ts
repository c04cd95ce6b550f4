import { readdir, readFile } from 'node:fs/promises'
import type { KnownOperation } from '@soma/capsule/ajv'
import { problemsError } from '@soma/capsule/problem'
import { parsePlan } from '@soma/capsule/validate-plan'
import { SomaError } from '@soma/contracts/errors'
import type { Plan } from '@soma/contracts/project'
import type { Capsules } from './capsules.ts'
import { PLATFORM } from './capsules.ts'

const FOLDER = new URL('../../capsules/', import.meta.url)

/** Puts the first-party capsules in, signed. What is there already, unchanged, is left alone. */
export async function installFirstParty(capsules: Capsules): Promise<number> {
  const files = await filesNamed('.capsule.yaml')
  for (const file of files) {
    const yaml = await readFile(new URL(file, FOLDER), 'utf8')
    if (await capsules.isSigned(PLATFORM, yaml)) continue
    const { name, version } = await capsules.put(PLATFORM, yaml)
    await capsules.sign(PLATFORM, name, version)
  }
  return files.length
}

/** Reads the plan templates. @throws `plan_invalid` that names the file */
export async function readPlanTemplates(operations: readonly KnownOperation[]): Promise<Map<string, Plan>> {
  const plans = new Map<string, Plan>()
  for (const file of await filesNamed('.plan.yaml')) {
    const { plan, problems } = parsePlan(await readFile(new URL(file, FOLDER), 'utf8'), { operations, file })
    if (!plan) throw problemsError('plan_invalid', problems)
    if (plans.has(plan.metadata.name)) throw new SomaError('plan_invalid', `Two plan templates are named ${plan.metadata.name}.`)
    plans.set(plan.metadata.name, plan)
  }
  return plans
}

async function filesNamed(ending: string): Promise<string[]> {
  const files = await readdir(FOLDER, { recursive: true })
  return files.filter((file) => file.endsWith(ending)).sort()
}
