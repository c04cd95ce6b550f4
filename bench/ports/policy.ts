import { readFile } from 'node:fs/promises'
import { type Constitution, Rule } from '@soma/contracts/constitution'
import type { PolicyInput } from '@soma/contracts/policy'
import type { Config } from '@soma/kernel/config/schema'
import { parseConstitution } from '@soma/ports/policy/check'
import { compileConstitution } from '@soma/ports/policy/compile'
import type { PolicyData } from '@soma/ports/policy/port'
import { type Prepare, TENANT } from './port.ts'

const TOOLS = 10

/** The default constitution and 100 rules, ten for each of ten tools, compiled as the policy-engine does; a tool is asked about. */
export const preparePolicy: Prepare<'policy'> = async (policy, { config }) => {
  const base = parseConstitution(await readFile(new URL('../../policies/constitution.yaml', import.meta.url), 'utf8'))
  const overlay: Constitution = { ...base, metadata: { ...base.metadata, name: 'bench' }, rules: hundredRules }
  const data = compileConstitution([base, overlay])
  const bundles = config.drivers.policy === 'opa' ? await serveBundle(data, config) : undefined
  await policy.load(TENANT, data)
  return {
    async one(index) {
      const { verdict } = await policy.decide(questionOf(index))
      if (verdict !== 'allow') throw new Error(`The verdict is ${verdict}`)
    },
    close: async () => bundles?.close(),
  }
}

/** None of them comes true, so all that apply must be looked at. */
const hundredRules: Rule[] = Array.from({ length: 100 }, (_, index) =>
  Rule.parse({
    id: `bench-${index}`,
    says: `Nothing marked secret-${index} goes to host ${index}.`,
    applies: { actions: [`tool.bench-${index % TOOLS}.*`] },
    when: [
      { fact: 'context.labels', is: 'includes', value: `secret-${index}` },
      { fact: 'action.resource.host', is: 'matches_suffix', value: `.host-${index}.example` },
    ],
    decide: index % 2 === 0 ? 'deny' : 'needs_approval',
  }),
)

function questionOf(index: number): PolicyInput {
  const tool = `tool.bench-${index % TOOLS}`
  return {
    principal: { id: 'agent:bench', kind: 'agent', tenant: TENANT, capabilities: ['tool.*'], within: [] },
    action: { name: `${tool}.look`, capability: `${tool}.read`, effect: 'read', resource: { host: 'docs.example' } },
    context: { labels: ['untrusted'], approvals: [], at: new Date().toISOString() },
  }
}

/** What the policy-engine does for OPA. */
async function serveBundle(data: PolicyData, { opa }: Config) {
  const [{ policyFile, readBundleKey }, { createBundleShelf }, { serveBundles }] = await Promise.all([
    import('@soma/ports/policy/opa/bundle'),
    import('@soma/ports/policy/opa/bundle-shelf'),
    import('@soma/ports/policy/opa/bundle-server'),
  ])
  const shelf = createBundleShelf(readBundleKey(opa.signingKey ?? ''))
  shelf.show([policyFile(data)])
  const onTrouble = (error: unknown) => console.error(error)
  return serveBundles({ host: opa.bundleHost, port: opa.bundlePort, token: opa.bundleToken ?? '', source: shelf, onTrouble })
}
