import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { Journal } from '@soma/ports/journal/port'
import { isEnd, streamOf } from '@soma/ports/workflows/execution/record'

/** The principal as a run acts for it: the run goes on when the session that started it has ended. */
export function actingFor({ session: _, ...principal }: Principal): Principal {
  return { ...principal, onBehalfOf: principal.onBehalfOf ?? principal.id }
}

/**
 * A token that is bound to a run dies with it. The run's own record tells, so there is nothing else to be written when a run ends.
 * @throws `unauthenticated` when the run has ended, or there is no such run
 */
export async function assertRunOpen(journal: Journal, tenant: string, run: string): Promise<void> {
  const last = await journal.readLast(tenant, streamOf(run, 1))
  // A run that continued as new is open; its record goes on in another stream.
  if (last && (!isEnd(last) || last.kind === 'run.continued')) return
  throw new SomaError('unauthenticated', `The run ${run} that the token is bound to has ended.`, { run })
}
