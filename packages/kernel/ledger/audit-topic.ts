import type { TopicView } from '@soma/ports/events/views'

/** What flowed in and out of an action can be large and private. It stays in the ledger; the event names its digest. */
const KEPT_BACK = new Set(['input', 'output', 'arguments'])

/** Every decision and effect as an event, so that others can follow along without the ledger. */
export const AUDIT_TOPIC: TopicView = {
  topic: 'agent.audit',
  kinds: [
    'gate.decided',
    'action.intended',
    'action.completed',
    'action.failed',
    'action.refused',
    'action.held',
    'action.interrupted',
    'approval.requested',
    'approval.supported',
    'approval.approved',
    'approval.rejected',
    'approval.expired',
    'approval.used',
    'kill.pulled',
    'kill.lifted',
    'kill.drilled',
  ],
  toEvent: ({ tenant, stream, seq, kind, at, payload, digest, hash }) => ({
    specversion: '1.0',
    id: hash,
    source: 'soma/ledger',
    type: `soma.${kind}`,
    subject: stream,
    time: at,
    datacontenttype: 'application/json',
    partitionkey: tenant,
    data: {
      ...Object.fromEntries(Object.entries(payload as object).filter(([name]) => !KEPT_BACK.has(name))),
      entry: { seq, digest, hash },
    },
  }),
}

/** Topics that are there from the start, whoever looks. */
export const STANDING_TOPICS = [AUDIT_TOPIC.topic, 'conversation.events', 'training.audit', 'slm.requests']
