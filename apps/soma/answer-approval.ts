import { answerOf } from '@soma/sdk/client'
import type { Connection } from './connection.ts'
import { oneLine } from './text.ts'

/** What somebody says to an approval. */
export interface Answer {
  approve: boolean
  /** Needed to reject. */
  reason?: string
  /** Who delegated their approvals, when it is for them. */
  onBehalfOf?: string
}

export async function answerApproval({ client }: Connection, id: string, { approve, reason, onBehalfOf }: Answer) {
  const body = { approve, ...(reason ? { reason } : {}), ...(onBehalfOf ? { onBehalfOf } : {}) }
  return answerOf(client.POST('/v1/approvals/{id}', { params: { path: { id } }, body }))
}

/** `approved: Push to main?`, or how many people are still missing. */
export function describeAnswered({ status, summary, words, terms }: Awaited<ReturnType<typeof answerApproval>>): string {
  if (status === 'pending') return `${words.length} of ${terms.by} have approved: ${oneLine(summary)}`
  return `${status}: ${oneLine(summary)}`
}
