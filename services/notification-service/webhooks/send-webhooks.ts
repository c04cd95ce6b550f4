import { SomaError } from '@soma/contracts/errors'
import type { ApprovalChange } from '@soma/kernel/approvals/follow-approvals'
import type { Needs, ServiceContext } from '@soma/kernel/http/service'
import { Webhook as Signer } from 'standardwebhooks'
import { changeSignal } from '../change-signal.ts'
import { afterFailure } from './after-failure.ts'
import type { Claimed, WebhookStore } from './webhook-store.ts'

/** Webhooks that one process sends to at once. */
const AT_ONCE = 8
/** How long whoever is told may take to answer. */
const ANSWER_SECONDS = 10
/** As long as nobody else may send to a webhook that a process has in hand: longer than an attempt can take. */
const IN_HAND_SECONDS = 60
/** Milliseconds between looks for what is due. */
const LOOK_EVERY = 1000

export const secretName = (webhook: string) => `webhooks/${webhook}`

type Parts = Pick<Needs, 'approvals' | 'egress' | 'secrets'> & { store: WebhookStore; logger: Pick<ServiceContext['logger'], 'warn'> }

/**
 * Tells webhooks what happens to approvals: each its events in order, an event only after the one before it arrived, again with growing
 * pauses until it did. Returns how to stop, which waits for what is on its way.
 */
export function sendWebhooks(parts: Parts): () => Promise<void> {
  const { approvals, store, logger } = parts
  const stopping = new AbortController()
  let wake: () => void = () => undefined
  const due = changeSignal((listener) => {
    wake = listener
    return () => undefined
  })
  const stopFollowing = approvals.follow('webhooks', async (change) => {
    if (await store.enqueue(change.tenant, { position: change.position, kind: change.kind, body: bodyOf(change) })) wake()
  })

  /** Webhooks go on side by side, so that one that answers slowly holds up no other. */
  const underWay = new Set<Promise<void>>()
  const away = (error: unknown) => logger.warn({ err: error }, 'webhooks can not be sent for the moment; tried again soon')
  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      const free = AT_ONCE - underWay.size
      const claimed = free === 0 ? [] : await store.claim(free, IN_HAND_SECONDS).catch(away)
      for (const each of claimed ?? []) {
        const sending = send(parts, each)
          .catch(away)
          .finally(() => {
            underWay.delete(sending)
            wake()
          })
        underWay.add(sending)
      }
      if (!claimed?.length) await due.next(LOOK_EVERY, stopping.signal)
    }
    await Promise.all(underWay)
  }

  const working = work()
  return async () => {
    stopping.abort()
    await Promise.all([stopFollowing(), working])
  }
}

/** Everything but the arguments: those may be large and private, and whoever decides reads them in the platform. */
function bodyOf({ kind, at, approval: { arguments: _, ...approval } }: ApprovalChange): string {
  return JSON.stringify({ type: kind, timestamp: at, data: { approval } })
}

async function send(parts: Parts, claimed: Claimed): Promise<void> {
  try {
    await post(parts, claimed)
    await parts.store.markSent(claimed)
  } catch (error) {
    const next = afterFailure(claimed, error, new Date())
    const text = error instanceof Error ? error.message : String(error)
    if (next.offReason)
      parts.logger.warn({ tenant: claimed.tenant, webhook: claimed.webhook }, `a webhook was switched off: ${next.offReason}`)
    await parts.store.markFailed(claimed, text.slice(0, 500), next)
  }
}

/** @throws SomaError with `details.status` when the answer is none of success */
async function post({ egress, secrets }: Parts, { tenant, webhook, url, position, body }: Claimed): Promise<void> {
  const secret = await secrets.read(tenant, secretName(webhook))
  if (secret === undefined) throw new SomaError('not_found', 'The secret that signs for the webhook is gone. Make the webhook anew.')
  const now = new Date()
  const answer = await egress.fetch(url, {
    method: 'POST',
    body,
    redirect: 'manual',
    signal: AbortSignal.timeout(ANSWER_SECONDS * 1000),
    headers: {
      'content-type': 'application/json',
      'webhook-id': position,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': new Signer(secret).sign(position, now, body),
    },
  })
  await answer.body?.cancel()
  if (!answer.ok) throw new SomaError('tool_failed', `It answered with status ${answer.status}.`, { status: answer.status })
}
