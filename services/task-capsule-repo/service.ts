import { describeOperations } from '@soma/kernel/actions/operation-catalogue'
import { defineService } from '@soma/kernel/http/service'
import { CAPSULE_MIGRATIONS, createCapsules } from './capsules.ts'
import { installFirstParty, readPlanTemplates } from './first-party.ts'
import { capsuleRoutes } from './routes/capsules.ts'
import { planRoutes } from './routes/plans.ts'

export const taskCapsuleRepo = defineService({
  name: 'task-capsule-repo',
  summary: 'Capsules and plan templates: checked, versioned, signed.',
  needs: ['sql', 'keys', 'operations'],
  migrations: { schema: 'capsules', steps: CAPSULE_MIGRATIONS },
  async routes(app, { config, sql, keys, operations, logger }) {
    const known = describeOperations(operations.adapters)
    const capsules = createCapsules({ sql, keys, operations: known, trustedKeys: config.capsules.trustedKeys })
    capsuleRoutes(app, capsules)
    planRoutes(app, () => readPlanTemplates(known))
    const count = await installFirstParty(capsules)
    logger.info({ count }, 'first-party capsules are in place')
  },
})
