import { dirname } from 'node:path'
import { API_KEY_MIGRATIONS } from '@soma/kernel/auth/api-keys'
import { defineService } from '@soma/kernel/http/service'
import { ensureFirstAdministrator } from './first-administrator.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { signInRoutes } from './routes/sign-in.ts'
import { tokenRoutes } from './routes/tokens.ts'

export const identityService = defineService({
  name: 'identity-service',
  summary: 'Who may speak to the platform: keys, tokens and the first administrator.',
  needs: ['sql', 'tokens'],
  migrations: { schema: 'identity', steps: API_KEY_MIGRATIONS },
  routes(app, context) {
    apiKeyRoutes(app, context)
    tokenRoutes(app, context)
    signInRoutes(app, context)
  },
  async start({ sql, folder, logger }) {
    const file = await ensureFirstAdministrator(sql, dirname(await folder('run')))
    if (file) logger.info({ file }, 'made the first administrator; its API key is in this file')
  },
})
