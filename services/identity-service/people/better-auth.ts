import { AsyncLocalStorage } from 'node:async_hooks'
import { SomaError } from '@soma/contracts/errors'
import type { Config } from '@soma/kernel/config/schema'
import type { Sql } from '@soma/ports/sql/port'

interface Options {
  sql: Sql
  config: Config
  /** Signs and encrypts what better-auth keeps or gives out. */
  secret: () => Promise<string>
}

export type BetterAuth = Awaited<ReturnType<typeof createBetterAuth>>

/** Runs `work` with better-auth as it is for one tenant: it sees that tenant's rows and no others. */
export type WithBetterAuth = <Result>(tenant: string, work: (auth: BetterAuth) => Promise<Result>) => Promise<Result>

/**
 * better-auth on the platform's database, loaded when somebody first signs in: who has an issuer of OpenID Connect never loads it.
 * Each of its statements runs under the row-level security of the tenant that it was called for.
 */
export function openBetterAuth(options: Options): WithBetterAuth {
  const tenant = new AsyncLocalStorage<string>()
  let opened: Promise<BetterAuth> | undefined

  return (name, work) =>
    tenant.run(name, async () => {
      opened ??= createBetterAuth({ ...options, tenant: () => tenant.getStore() })
      opened.catch(() => {
        opened = undefined
      })
      return work(await opened)
    })
}

/** Header in which our own code tells better-auth the address of who asks. */
export const CLIENT_ADDRESS = 'x-client-address'

async function createBetterAuth({ sql, config, secret, tenant }: Options & { tenant: () => string | undefined }) {
  const [{ betterAuth }, { twoFactor }, { bearer }, kysely] = await Promise.all([
    import('better-auth'),
    import('better-auth/plugins/two-factor'),
    import('better-auth/plugins/bearer'),
    import('kysely'),
  ])

  async function query(text: string, values: unknown[]) {
    const name = tenant()
    if (!name) throw new SomaError('internal', 'better-auth was used without a tenant.')
    return sql.tenant(name).query(text, values)
  }
  // Kysely asks for a pool of connections; ours takes any connection for each statement and puts the tenant before it.
  const pool = { connect: async () => ({ query, release: () => undefined }), end: async () => undefined }
  const db = new kysely.Kysely({
    dialect: new kysely.PostgresDialect({
      pool: pool as unknown as ConstructorParameters<typeof kysely.PostgresDialect>[0]['pool'] as never,
    }),
    plugins: [new kysely.CamelCasePlugin()],
  })

  const isActive = async (id: string) =>
    (await query('select is_active from identity.users where id = $1', [id])).rows[0]?.is_active === true

  const { sessionDays, minPasswordLength } = config.auth.accounts
  return betterAuth({
    appName: 'SomaAgent',
    // Nothing of it answers requests itself; it is called by the routes of this service.
    baseURL: config.http.publicUrl ?? `http://${config.http.host}:${config.http.port}`,
    secret: await secret(),
    telemetry: { enabled: false },
    logger: { disabled: true },
    rateLimit: { enabled: false },
    database: { db, type: 'postgres', schemaName: 'identity' },
    user: { modelName: 'users' },
    account: { modelName: 'credentials' },
    session: { modelName: 'sessions', expiresIn: sessionDays * 86_400 },
    verification: { modelName: 'verifications', storeIdentifier: 'hashed' },
    emailAndPassword: { enabled: true, minPasswordLength, autoSignIn: false },
    advanced: { ipAddress: { ipAddressHeaders: [CLIENT_ADDRESS] } },
    databaseHooks: {
      // The one place where every way of signing in passes: who was disabled gets no session.
      session: { create: { before: async ({ userId }) => ((await isActive(userId)) ? undefined : false) } },
    },
    plugins: [bearer(), twoFactor({ issuer: 'SomaAgent', allowPasswordless: true, schema: { twoFactor: { modelName: 'two_factors' } } })],
  })
}

/** What better-auth refused, by its own code; undefined for what went wrong in another way. */
export function refusalCode(error: unknown): string | undefined {
  const { name, body } = error as { name?: string; body?: { code?: string } }
  return name === 'APIError' ? body?.code : undefined
}
