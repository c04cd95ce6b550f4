import { randomBytes } from 'node:crypto'
import type { ConstitutionProposal, ConstitutionVersion } from '@soma/contracts/constitution-version'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import type { Principal } from '@soma/contracts/tenant'
import type { People } from '@soma/kernel/auth/people'
import { assertSigned, signConstitution } from '@soma/kernel/gate/constitution-signature'
import type { PolicyChanges } from '@soma/kernel/gate/policy-changes'
import type { Keys } from '@soma/kernel/keys/keys'
import { appendOnce } from '@soma/ports/journal/append-once'
import type { Journal } from '@soma/ports/journal/port'
import { parseConstitution } from '@soma/ports/policy/check'
import { diffConstitutions } from '@soma/ports/policy/diff'
import type { Sql } from '@soma/ports/sql/port'
import { createProposals } from './proposals.ts'
import { checkRules } from './rules-text.ts'
import { createVersions, PLATFORM } from './versions.ts'

/** What whoever puts rules in force must hold. */
export const PUBLISH = 'constitution.publish'
/** Who acts when the platform brings its own rules. */
const ITSELF: Pick<Principal, 'id' | 'kind' | 'tenant'> = { id: 'platform', kind: 'service', tenant: PLATFORM }

type Who = Pick<Principal, 'id' | 'kind' | 'tenant'>
export interface NewRules {
  note: string
  /** The new text, or the version that should be in force again. */
  yaml?: string
  rollbackTo?: number
}

interface Parts {
  sql: Sql
  keys: Keys
  journal: Journal
  policyChanges: PolicyChanges
  people: People
  /** Also who is alone in the tenant needs somebody else. */
  alwaysTwo: boolean
}

/**
 * How a tenant's rules change: somebody proposes, somebody else publishes, and the version is signed and in force. Each step is an entry
 * of the ledger; a version counts when it is in there.
 */
export function createConstitutions({ sql, keys, journal, policyChanges, people, alwaysTwo }: Parts) {
  const versions = createVersions(sql)
  const proposals = createProposals(sql)

  /** @throws `invalid_input` for rules that do not hold; `conflict` when they are in force already */
  async function propose(by: Who, { yaml, rollbackTo, note }: NewRules): Promise<ConstitutionProposal> {
    const { tenant } = by
    const newest = await versions.newest(tenant)
    const text = yaml ?? (await earlierText(tenant, rollbackTo as number))
    const digest = sha256(text)
    if (newest?.digest === digest)
      throw new SomaError('conflict', `Version ${newest.version}, which is in force, says exactly this already.`, {
        version: newest.version,
      })
    await checkRules(versions, tenant, text)
    const made: ConstitutionProposal = {
      ...{ id: `p-${randomBytes(6).toString('hex')}`, tenant, yaml: text, digest, note, rollbackTo: rollbackTo ?? null },
      ...{ basedOn: newest?.version ?? 0, proposedBy: by.id, proposedAt: new Date().toISOString() },
      ...{ status: 'open', decidedBy: null, decidedAt: null, version: null },
    }
    const { yaml: _, ...recorded } = made
    await append(tenant, made.id, 0, 'constitution.proposed', { ...recorded, changes: summaryOf(newest?.yaml, text) })
    await proposals.insert(made)
    return made
  }

  /** What was signed then, and nothing that was put in its place since. */
  async function earlierText(tenant: string, version: number): Promise<string> {
    const earlier = await versions.get(tenant, version)
    assertSigned(await keys.signingKey('constitution'), tenant, earlier)
    return earlier.yaml
  }

  /**
   * Puts a proposal in force: in this process when it resolves, in the others at once or within a second.
   * @param emergency why one person must do for a rollback
   * @throws `forbidden` when another person must do it; `conflict` when other rules came into force since, or it was decided before
   */
  async function publish(by: Who, id: string, emergency?: string): Promise<ConstitutionVersion> {
    const proposal = await openProposal(by.tenant, id)
    const review = await reviewOf(proposal, by, emergency)
    await checkRules(versions, by.tenant, proposal.yaml)
    const { tenant, yaml, note, proposedBy, rollbackTo, basedOn } = proposal
    const version = basedOn + 1
    const made: ConstitutionVersion = {
      ...{ tenant, version, yaml, note, proposedBy, rollbackTo, review, emergency: emergency ?? null },
      ...signConstitution(await keys.signingKey('constitution'), { tenant, version, yaml }),
      ...{ publishedBy: by.id, publishedAt: new Date().toISOString() },
    }
    const { yaml: _, ...recorded } = made
    const before = basedOn === 0 ? undefined : (await versions.get(tenant, basedOn)).yaml
    const kind = rollbackTo === null ? 'constitution.published' : 'constitution.rolled_back'
    const entry = await append(tenant, `version/${version}`, 0, kind, { ...recorded, proposal: id, changes: summaryOf(before, yaml) })
    const published = entry.payload as Omit<ConstitutionVersion, 'yaml'> & { proposal: string }
    await bringIntoForce(published)
    if (published.proposal === id) return versions.get(tenant, version)
    throw new SomaError('conflict', `Version ${version} was published at the same moment, from ${published.proposal}. Propose again.`, {
      version,
    })
  }

  /** Also for what another process put on record and could not finish. */
  async function bringIntoForce({ proposal: id, ...published }: Omit<ConstitutionVersion, 'yaml'> & { proposal: string }): Promise<void> {
    const { tenant, version, publishedBy } = published
    const { yaml } = await proposals.get(tenant, id)
    await sql.platform.transaction(async (transaction) => {
      await versions.insert(transaction, { ...(published as ConstitutionVersion), yaml })
      await proposals.decide(transaction, { tenant, id, status: 'published', decidedBy: publishedBy, version })
      await policyChanges.note(transaction, tenant)
    })
    await policyChanges.announce()
  }

  async function openProposal(tenant: string, id: string): Promise<ConstitutionProposal> {
    const proposal = await proposals.get(tenant, id)
    if (proposal.status !== 'open')
      throw new SomaError('conflict', `Proposal ${id} was ${proposal.status} by ${proposal.decidedBy} already.`, {
        status: proposal.status,
      })
    const newest = (await versions.newest(tenant))?.version ?? 0
    if (newest === proposal.basedOn) return proposal
    throw new SomaError('conflict', `Version ${newest} came into force after proposal ${id} was made. Look at it and propose again.`, {
      version: newest,
    })
  }

  /** @throws `forbidden` when another person must look at it first */
  async function reviewOf(proposal: ConstitutionProposal, by: Who, emergency: string | undefined): Promise<ConstitutionVersion['review']> {
    if (by === ITSELF) return 'platform'
    const known = await people.in(by.tenant)
    const publisher = known.behind(by.id)
    const isPerson = by.kind !== 'agent' && /^(user|key):/.test(publisher)
    if (!isPerson)
      throw new SomaError('forbidden', `${by.id} stands for no person, and only people put rules in force.`, { proposal: proposal.id })
    if (known.behind(proposal.proposedBy) !== publisher) return 'two people'
    if (emergency !== undefined) {
      if (proposal.rollbackTo !== null) return 'emergency'
      throw new SomaError('forbidden', 'In an emergency one person can bring back an earlier version, and nothing else.', {
        proposal: proposal.id,
      })
    }
    if (!alwaysTwo && known.isAlone(publisher, [PUBLISH])) return 'alone'
    throw new SomaError(
      'forbidden',
      `${publisher} proposed this, so another person who holds ${PUBLISH} must publish it. An earlier version can be brought back by one person in an emergency.`,
      { proposal: proposal.id, proposedBy: proposal.proposedBy, person: publisher },
    )
  }

  /** @throws `conflict` when it was decided before */
  async function withdraw(by: Who, id: string, reason: string): Promise<ConstitutionProposal> {
    const proposal = await proposals.get(by.tenant, id)
    const isOpen = await proposals.decide(sql.tenant(by.tenant), { ...proposal, status: 'withdrawn', decidedBy: by.id, version: null })
    if (!isOpen)
      throw new SomaError('conflict', `Proposal ${id} was ${proposal.status} by ${proposal.decidedBy} already.`, {
        status: proposal.status,
      })
    await append(by.tenant, id, 1, 'constitution.withdrawn', { id, withdrawnBy: by.id, reason })
    return proposals.get(by.tenant, id)
  }

  /** Puts the rules that the platform comes with in force, when they are others than before. */
  async function release(yaml: string): Promise<ConstitutionVersion> {
    for (;;) {
      const newest = await versions.newest(PLATFORM)
      if (newest?.digest === sha256(yaml)) return newest
      try {
        const { id } = await propose(ITSELF, { yaml, note: 'Came with the platform.' })
        return await publish(ITSELF, id)
      } catch (error) {
        // Another process that starts as well was faster.
        if (!SomaError.is(error, 'conflict')) throw error
      }
    }
  }

  function append(tenant: string, name: string, expectedSeq: number, kind: string, payload: unknown) {
    return appendOnce(journal, { tenant, stream: `constitution/${name}`, expectedSeq, entries: [{ kind, payload }] })
  }

  return {
    versions,
    proposals,
    propose,
    publish,
    withdraw,
    release,
    check: (tenant: string, yaml: string) => checkRules(versions, tenant, yaml),
  }
}

export type Constitutions = ReturnType<typeof createConstitutions>

/** Which rules change, by their ids. */
function summaryOf(before: string | undefined, after: string) {
  const { added, removed, changed } = diffConstitutions(
    before === undefined ? undefined : parseConstitution(before),
    parseConstitution(after),
  )
  const ids = (rules: readonly { id: string }[]) => rules.map(({ id }) => id)
  return { added: ids(added), removed: ids(removed), changed: ids(changed) }
}
