import { dirname } from 'node:path'
import { IDENTITY_MIGRATIONS } from '@soma/kernel/auth/migrations'
import { defineService } from '@soma/kernel/http/service'
import { ensureFirstAdministrator } from './first-administrator.ts'
import { openIdentity } from './identity.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { invitationRoutes } from './routes/invitations.ts'
import { ownAccountRoutes } from './routes/own-account.ts'
import { roleRoutes } from './routes/roles.ts'
import { serviceAccountRoutes } from './routes/service-accounts.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { signInRoutes } from './routes/sign-in.ts'
import { tenantRoutes } from './routes/tenants.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { trainingRoutes } from './routes/training.ts'
import { userRoutes } from './routes/users.ts'
import { sweep } from './sweep.ts'

const SWEEP_EVERY_MILLISECONDS = 3_600_000

export const identityService = defineService({
  name: 'identity-service',
  summary: 'Who may speak to the platform, and what each may: tenants, users, roles, sign-in, sessions, tokens and keys.',
  needs: ['sql', 'tokens', 'secrets', 'journal', 'events'],
  migrations: { schema: 'identity', steps: IDENTITY_MIGRATIONS },
  routes(app, context) {
    const identity = openIdentity(context)
    signInRoutes(app, identity)
    ownAccountRoutes(app, identity)
    sessionRoutes(app, identity)
    userRoutes(app, identity)
    invitationRoutes(app, identity)
    roleRoutes(app, identity)
    serviceAccountRoutes(app, identity)
    apiKeyRoutes(app, identity)
    tokenRoutes(app, identity)
    tenantRoutes(app, identity)
    trainingRoutes(app, identity)
  },
  async start({ sql, folder, logger, onStop }) {
    const file = await ensureFirstAdministrator(sql, dirname(await folder('run')))
    if (file) logger.info({ file }, 'made the first administrator; its API key is in this file')
    const timer = setInterval(() => void sweep(sql, logger), SWEEP_EVERY_MILLISECONDS).unref()
    onStop(async () => clearInterval(timer))
  },
})
