import type { ServiceContext } from '@soma/kernel/http/service'
import type { Ledger } from '@soma/kernel/ledger/ledger'
import { repeat } from './repeat.ts'

/** Milliseconds between checkpoints: what was appended since could be cut off unseen. */
const EVERY = 30_000
const FAILED = 'a checkpoint of the ledger could not be signed; it is tried again'

/** Signs a checkpoint of every tenant's ledger again and again, and once more at the end. Returns how to stop. */
export function signCheckpoints({ ledger, logger }: { ledger: Ledger } & Pick<ServiceContext, 'logger'>): () => Promise<void> {
  const stop = repeat(ledger.checkpointAll, { milliseconds: EVERY, logger, whenItFails: FAILED })
  return async () => {
    await stop()
    await ledger.checkpointAll().catch((error) => logger.warn({ err: error }, FAILED))
  }
}
