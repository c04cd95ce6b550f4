import { SomaError } from '@soma/contracts/errors'
import { DEFAULT_ROLES, type Role } from '@soma/contracts/roles'
import { holds, type Principal } from '@soma/contracts/tenant'

/**
 * What somebody with these roles may do.
 * @param own the tenant's own roles, which go before those that come with the platform. A role that nobody knows gives nothing.
 */
export function capabilitiesOf(roles: readonly string[], own: readonly Pick<Role, 'name' | 'capabilities'>[]): string[] {
  const known = new Map<string, readonly string[]>([...DEFAULT_ROLES, ...own].map(({ name, capabilities }) => [name, capabilities]))
  return [...new Set(roles.flatMap((role) => known.get(role) ?? []))]
}

/**
 * Nobody gives what he does not hold, and an agent gives nothing: what it gave would outlive its run.
 * @throws `forbidden` that names the capability that is lacking
 */
export function assertMayGive(giver: Principal, tenant: string, capabilities: readonly string[]): void {
  if (giver.kind === 'agent')
    throw new SomaError('forbidden', `${giver.id} is an agent, and agents give nobody access. Ask a person.`, { principal: giver.id })
  if (giver.tenant !== tenant)
    throw new SomaError('forbidden', `${giver.id} can give access to its own tenant ${giver.tenant} only, not to ${tenant}.`)
  const lacking = capabilities.find((capability) => !holds(giver, capability))
  if (lacking !== undefined)
    throw new SomaError('forbidden', `${giver.id} can not give the capability ${lacking}, which it does not hold itself.`, {
      capability: lacking,
    })
}

/**
 * Nobody changes somebody who may more than himself: setting that person's password would be a way to become that person.
 * @throws `forbidden` that names the capability that is lacking
 */
export function assertMayChange(who: Principal, whom: string, capabilities: readonly string[]): void {
  const lacking = who.kind === 'agent' ? '*' : capabilities.find((capability) => !holds(who, capability))
  if (lacking !== undefined)
    throw new SomaError('forbidden', `${who.id} can not change ${whom}, who holds ${lacking}, which ${who.id} does not.`, {
      capability: lacking,
    })
}
