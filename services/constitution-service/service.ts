import { readFile } from 'node:fs/promises'
import { createPeople } from '@soma/kernel/auth/people'
import { defineService, type Needs, type ServiceContext } from '@soma/kernel/http/service'
import { type Constitutions, createConstitutions } from './constitutions.ts'
import { CONSTITUTION_MIGRATIONS } from './migrations.ts'
import { inForceRoutes } from './routes/in-force.ts'
import { proposalRoutes } from './routes/proposals.ts'
import { versionRoutes } from './routes/versions.ts'

const DEFAULT = new URL('../../policies/constitution.yaml', import.meta.url)

export const constitutionService = defineService({
  name: 'constitution-service',
  summary: 'The rules that no agent may break, in signed versions.',
  needs: ['sql', 'keys', 'journal', 'policyChanges'],
  migrations: { schema: 'constitution', steps: CONSTITUTION_MIGRATIONS },
  routes(app, context) {
    const constitutions = open(context)
    inForceRoutes(app, constitutions)
    versionRoutes(app, { constitutions, journal: context.journal })
    proposalRoutes(app, constitutions)
  },
  async start(context) {
    const { version, digest } = await open(context).release(await readFile(DEFAULT, 'utf8'))
    context.logger.info({ version, digest }, 'the base constitution is in force')
  },
})

function open(context: ServiceContext & Pick<Needs, 'sql' | 'keys' | 'journal' | 'policyChanges'>): Constitutions {
  const { config, sql } = context
  const people = createPeople(sql, { hasIssuer: config.auth.issuer !== undefined })
  return createConstitutions({ ...context, people, alwaysTwo: config.constitution.reviewers === 'two' })
}
