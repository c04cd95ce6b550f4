import type { ServiceContext } from '@soma/kernel/http/service'
import type { RetentionWork } from '@soma/kernel/ledger/apply-retention'
import type { Journal } from '@soma/ports/journal/port'
import { repeat } from './repeat.ts'

/** Rules count in days. */
const EVERY = 6 * 3_600_000

/** Applies every tenant's retention rules again and again. Returns how to stop. */
export function keepToRetention({
  journal,
  logger,
  retentionWork,
}: { journal: Journal; retentionWork: RetentionWork } & Pick<ServiceContext, 'logger'>): () => Promise<void> {
  async function applyAll(): Promise<void> {
    for (const tenant of await journal.tenants()) {
      const report = await retentionWork.apply(tenant)
      if (report && Object.keys(report.redacted).length > 0)
        logger.info({ tenant, ...report }, 'content was taken out of the ledger by rule')
    }
  }
  return repeat(applyAll, { milliseconds: EVERY, logger, whenItFails: 'retention rules could not be applied; they are again later' })
}
