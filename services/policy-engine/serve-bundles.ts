import { SomaError } from '@soma/contracts/errors'
import type { Needs, ServiceContext } from '@soma/kernel/http/service'
import { readBundleKey } from '@soma/ports/policy/opa/bundle'
import { serveBundles } from '@soma/ports/policy/opa/bundle-server'
import { createBundles } from './bundles.ts'

/**
 * Serves the signed bundle to OPAs, beside the API: it holds the rules of every tenant, so it has an address and a token of its own.
 * @throws invalid_input when the token or the key is missing
 */
export async function serveBundlesToOpa(context: ServiceContext & Pick<Needs, 'policyChanges' | 'keys'>): Promise<void> {
  const { config, policyChanges, logger } = context
  const { bundleHost: host, bundlePort: port, bundleToken: token, signingKey } = config.opa
  if (!token || !signingKey)
    throw new SomaError(
      'invalid_input',
      'An OPA decides only by a signed bundle: set SOMA_OPA_BUNDLE_TOKEN and SOMA_OPA_SIGNING_KEY. docs/guides/decide-with-opa.md says how they are made.',
    )
  const bundles = createBundles({ ...context, key: readBundleKey(signingKey), rulesKey: await context.keys.signingKey('constitution') })
  const unsubscribe = policyChanges.onChange(bundles.lookAgain)
  const onTrouble = (error: unknown) => logger.error({ err: error }, 'an OPA could not be given its bundle')
  const { url, close } = await serveBundles({ host, port, token, source: bundles, onTrouble })
  logger.info({ url }, 'OPAs find their bundle')
  context.onStop(async () => {
    await close()
    unsubscribe()
  })
}
