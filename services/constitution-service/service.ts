import { readFile } from 'node:fs/promises'
import { defineService } from '@soma/kernel/http/service'
import { CONSTITUTION_MIGRATIONS, createConstitutions, PLATFORM } from './constitutions.ts'
import { constitutionRoutes } from './routes/constitution.ts'

const DEFAULT = new URL('../../policies/constitution.yaml', import.meta.url)

export const constitutionService = defineService({
  name: 'constitution-service',
  summary: 'The rules that no agent may break, in signed versions.',
  needs: ['sql', 'keys', 'policyChanges'],
  migrations: { schema: 'constitution', steps: CONSTITUTION_MIGRATIONS },
  routes(app, context) {
    constitutionRoutes(app, createConstitutions(context))
  },
  async start(context) {
    const { version, digest } = await createConstitutions(context).publish(PLATFORM, await readFile(DEFAULT, 'utf8'), 'platform')
    context.logger.info({ version, digest }, 'the base constitution is in force')
  },
})
