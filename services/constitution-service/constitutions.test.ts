import { sha256 } from '@soma/contracts/journal'
import { assertSigned } from '@soma/kernel/gate/constitution-signature'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestConstitutions, person, rule, rulesText } from './testing.ts'
import { PLATFORM } from './versions.ts'

const BASE = rulesText(rule('base', 'applies: { actions: ["*"] }, decide: allow'))
const text = (id: string) => rulesText(rule(id, 'applies: { actions: [tool.web.*] }, decide: deny'))

let world: Awaited<ReturnType<typeof openTestConstitutions>>
beforeAll(async () => {
  world = await openTestConstitutions()
  await world.constitutions.release(BASE)
})
afterAll(() => world.close())

let tenants = 0
/** Two people of a new tenant. */
function people() {
  const tenant = `tenant-${tenants++}`
  return { tenant, ada: person('user:ada', tenant), bob: person('user:bob', tenant) }
}
const kindsOf = async (tenant: string) =>
  (await world.journal.tail({ after: '0', tenant, streamPrefix: 'constitution/', includeUnsettled: true })).map(({ kind }) => kind)

/** As many versions of a new tenant as there are texts, each proposed by ada and published by bob. */
async function published(...ids: string[]) {
  const { tenant, ada, bob } = people()
  for (const id of ids)
    await world.constitutions.publish(bob, (await world.constitutions.propose(ada, { yaml: text(id), note: `For ${id}.` })).id)
  return { tenant, ada, bob }
}

describe('two people', () => {
  test('what one proposes another publishes: signed, with who and why, and told to the gates', async () => {
    const { tenant, ada, bob } = people()
    const { constitutions } = world
    const proposal = await constitutions.propose(ada, { yaml: text('one'), note: 'We read nothing from the web.' })
    expect(proposal).toMatchObject({ status: 'open', basedOn: 0, proposedBy: 'user:ada', digest: sha256(text('one')) })
    expect(await constitutions.versions.newest(tenant)).toBeUndefined()
    const version = await constitutions.publish(bob, proposal.id)
    expect(version).toMatchObject({
      ...{ tenant, version: 1, note: 'We read nothing from the web.', proposedBy: 'user:ada', publishedBy: 'user:bob' },
      ...{ review: 'two people', rollbackTo: null, emergency: null },
    })
    assertSigned(await world.keys.signingKey('constitution'), tenant, version)
    expect(await constitutions.versions.newest(tenant)).toEqual(version)
    expect(await constitutions.proposals.get(tenant, proposal.id)).toMatchObject({ status: 'published', decidedBy: 'user:bob', version: 1 })
    expect(world.announced).toContain(tenant)
    expect(await kindsOf(tenant)).toEqual(['constitution.proposed', 'constitution.published'])
  })

  test('whoever proposed does not publish, neither in person nor through an API key', async () => {
    const { tenant, ada, bob } = people()
    const { constitutions } = world
    const { id } = await constitutions.propose(ada, { yaml: text('one'), note: 'n' })
    const key = { ...ada, id: `key:of-ada-${tenant}`, kind: 'service' as const }
    world.behind.set(key.id, ada.id)
    for (const again of [ada, key])
      await expect(constitutions.publish(again, id)).rejects.toMatchObject({ code: 'forbidden', details: { person: 'user:ada' } })
    const second = await constitutions.propose(key, { yaml: text('two'), note: 'n' })
    await expect(constitutions.publish(ada, second.id)).rejects.toMatchObject({ code: 'forbidden' })
    await constitutions.publish(bob, second.id)
  })

  test('who is alone in the tenant publishes alone, and the version says so', async () => {
    const { tenant, ada } = people()
    world.alone.add(tenant)
    const { id } = await world.constitutions.propose(ada, { yaml: text('one'), note: 'n' })
    expect(await world.constitutions.publish(ada, id)).toMatchObject({ review: 'alone', proposedBy: 'user:ada', publishedBy: 'user:ada' })
    const [, entry] = await world.journal.tail({ after: '0', tenant, streamPrefix: 'constitution/', includeUnsettled: true })
    expect(entry?.payload).toMatchObject({ review: 'alone' })
  })

  test('programs put nothing in force', async () => {
    const { tenant, ada } = people()
    world.behind.set('key:of-account', 'account:ci')
    const { id } = await world.constitutions.propose(ada, { yaml: text('one'), note: 'n' })
    for (const who of ['service:gate', 'account:ci', 'key:of-account', 'agent:dev', 'platform'])
      await expect(world.constitutions.publish({ ...person(who, tenant), kind: 'service' }, id), who).rejects.toMatchObject({
        code: 'forbidden',
      })
    await expect(world.constitutions.publish({ ...person('user:bob', tenant), kind: 'agent' }, id)).rejects.toMatchObject({
      code: 'forbidden',
    })
  })
})

describe('proposals', () => {
  test('rules that do not hold, and those that are in force already, are not proposed', async () => {
    const { tenant, ada } = await published('one')
    const { constitutions } = world
    await expect(constitutions.propose(ada, { yaml: 'rules: [', note: 'n' })).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(constitutions.propose(ada, { yaml: text('base'), note: 'n' })).rejects.toMatchObject({
      message: expect.stringContaining('Rule id "base" is taken by constitution "own"'),
    })
    await expect(constitutions.propose(ada, { yaml: text('one'), note: 'n' })).rejects.toMatchObject({
      code: 'conflict',
      details: { version: 1 },
    })
    expect(await constitutions.proposals.list(tenant, { limit: 10, status: 'open' })).toEqual([])
  })

  test('a proposal is void once other rules came into force, so that nobody publishes what nobody looked at', async () => {
    const { ada, bob } = people()
    const { constitutions } = world
    const [first, second] = [
      await constitutions.propose(ada, { yaml: text('one'), note: 'n' }),
      await constitutions.propose(ada, { yaml: text('two'), note: 'n' }),
    ]
    await constitutions.publish(bob, second.id)
    await expect(constitutions.publish(bob, first.id)).rejects.toMatchObject({ code: 'conflict', details: { version: 1 } })
  })

  test('of two that are published at once one comes into force, and the ledger says which', async () => {
    const { tenant, ada, bob } = people()
    const { constitutions } = world
    const made = await Promise.all(['one', 'two'].map((id) => constitutions.propose(ada, { yaml: text(id), note: 'n' })))
    const results = await Promise.allSettled(made.map(({ id }) => constitutions.publish(bob, id)))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const [entry] = await world.journal.read(tenant, 'constitution/version/1')
    const inForce = await constitutions.versions.newest(tenant)
    expect(entry?.payload).toMatchObject({ digest: inForce?.digest, signature: inForce?.signature })
    expect(await constitutions.versions.list(tenant, 10)).toHaveLength(1)
  })

  test('a publication that a crash cut off after it was recorded is finished by whoever comes next', async () => {
    const { tenant, ada, bob } = people()
    const { constitutions } = world
    const [cut, other] = [
      await constitutions.propose(ada, { yaml: text('cut'), note: 'n' }),
      await constitutions.propose(ada, { yaml: text('other'), note: 'n' }),
    ]
    const platform = world.sql.platform.transaction
    world.sql.platform.transaction = () => Promise.reject(new Error('killed'))
    await expect(constitutions.publish(bob, cut.id)).rejects.toThrow('killed')
    world.sql.platform.transaction = platform
    expect(await constitutions.versions.newest(tenant)).toBeUndefined()
    await expect(constitutions.publish(bob, other.id)).rejects.toMatchObject({ code: 'conflict' })
    expect(await constitutions.versions.newest(tenant)).toMatchObject({ version: 1, digest: cut.digest })
    expect(await kindsOf(tenant)).toEqual(['constitution.proposed', 'constitution.proposed', 'constitution.published'])
  })

  test('a proposal can be withdrawn, with a reason, and is then not published', async () => {
    const { tenant, ada, bob } = people()
    const { constitutions } = world
    const { id } = await constitutions.propose(ada, { yaml: text('one'), note: 'n' })
    expect(await constitutions.withdraw(bob, id, 'Too strict.')).toMatchObject({ status: 'withdrawn', decidedBy: 'user:bob' })
    await expect(constitutions.publish(bob, id)).rejects.toMatchObject({ code: 'conflict' })
    await expect(constitutions.withdraw(bob, id, 'again')).rejects.toMatchObject({ code: 'conflict' })
    const entries = await world.journal.read(tenant, `constitution/${id}`)
    expect(entries.map(({ kind, payload }) => [kind, (payload as { reason?: string }).reason])).toEqual([
      ['constitution.proposed', undefined],
      ['constitution.withdrawn', 'Too strict.'],
    ])
  })

  test('nobody sees or publishes what another tenant proposed', async () => {
    const { ada } = people()
    const { id } = await world.constitutions.propose(ada, { yaml: text('one'), note: 'n' })
    const stranger = person('user:eve', 'stranger')
    await expect(world.constitutions.publish(stranger, id)).rejects.toMatchObject({ code: 'not_found' })
    await expect(world.constitutions.withdraw(stranger, id, 'r')).rejects.toMatchObject({ code: 'not_found' })
    expect(await world.constitutions.proposals.list('stranger', { limit: 10 })).toEqual([])
  })
})

describe('rollback', () => {
  test('an earlier version comes back as a new one, published by another person', async () => {
    const { tenant, ada, bob } = await published('one', 'two')
    const { constitutions } = world
    const { id } = await constitutions.propose(ada, { rollbackTo: 1, note: 'two was too strict' })
    await expect(constitutions.publish(ada, id)).rejects.toMatchObject({ code: 'forbidden' })
    const back = await constitutions.publish(bob, id)
    expect(back).toMatchObject({ version: 3, rollbackTo: 1, yaml: text('one'), digest: sha256(text('one')), review: 'two people' })
    assertSigned(await world.keys.signingKey('constitution'), tenant, back)
    expect((await kindsOf(tenant)).at(-1)).toBe('constitution.rolled_back')
  })

  test('in an emergency one person brings it back, and the reason is in the ledger; nothing else goes that way', async () => {
    const { tenant, ada } = await published('one', 'two')
    const { constitutions } = world
    const strict = await constitutions.propose(ada, { yaml: text('three'), note: 'n' })
    await expect(constitutions.publish(ada, strict.id, 'I am in a hurry.')).rejects.toMatchObject({ code: 'forbidden' })
    const { id } = await constitutions.propose(ada, { rollbackTo: 1, note: 'n' })
    expect(await constitutions.publish(ada, id, 'All deployments are refused.')).toMatchObject({
      review: 'emergency',
      emergency: 'All deployments are refused.',
    })
    const [entry] = await world.journal.read(tenant, 'constitution/version/3')
    expect(entry).toMatchObject({ kind: 'constitution.rolled_back', payload: { emergency: 'All deployments are refused.', rollbackTo: 1 } })
  })

  test('what was changed behind the platform’s back does not come back', async () => {
    const { tenant, ada } = await published('one', 'two')
    await world.sql.platform.query('update constitution.versions set yaml = $2 where tenant = $1 and version = 1', [tenant, text('forged')])
    await expect(world.constitutions.propose(ada, { rollbackTo: 1, note: 'n' })).rejects.toMatchObject({ code: 'signature_invalid' })
    await expect(world.constitutions.propose(ada, { rollbackTo: 9, note: 'n' })).rejects.toMatchObject({ code: 'not_found' })
  })
})

test('the rules that the platform comes with are put in force once, also by processes that start together', async () => {
  const next = rulesText(rule('base', 'applies: { actions: ["tool.*"] }, decide: allow'))
  const before = (await world.constitutions.versions.newest(PLATFORM))?.version ?? 0
  const released = await Promise.all([1, 2, 3].map(() => world.constitutions.release(next)))
  expect(new Set(released.map(({ version }) => version))).toEqual(new Set([before + 1]))
  expect(await world.constitutions.release(next)).toMatchObject({ version: before + 1, review: 'platform', publishedBy: 'platform' })
})
