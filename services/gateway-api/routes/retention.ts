import { SomaError } from '@soma/contracts/errors'
import type { ServiceApp } from '@soma/kernel/http/service'
import { RetentionReport, type RetentionWork } from '@soma/kernel/ledger/apply-retention'
import type { Redactions } from '@soma/kernel/ledger/redact'
import { LegalHold, type Retention, RetentionRule } from '@soma/kernel/ledger/retention'
import { z } from 'zod'

const Reason = z.string().trim().min(1).max(1000)
const Rules = z.strictObject({ rules: z.array(RetentionRule).max(200) })

interface Parts {
  redactions: Redactions
  retention: Retention
  retentionWork: RetentionWork
}

/** What is taken out of the ledger: by somebody's hand, and by rule. */
export function retentionRoutes(app: ServiceApp, { redactions, retention, retentionWork }: Parts): void {
  app.post(
    '/v1/audit/redactions',
    {
      config: { action: { name: 'http.audit.redact', capability: 'audit.redact', effect: 'destructive' } },
      schema: {
        summary: 'Take the content of entries away for good, with the objects that only they name. That they were there stays provable.',
        body: z.strictObject({
          stream: z.string().min(1).max(1000),
          seqs: z.array(z.number().int().min(1)).min(1).max(1000),
          reason: Reason,
        }),
        response: { 201: z.object({ stream: z.string(), seqs: z.array(z.number().int()), objects: z.array(z.string()) }) },
      },
    },
    async (request, reply) => {
      const { tenant, id: by } = request.principal
      return reply.code(201).send(await redactions.redact({ tenant, by, ...request.body }))
    },
  )

  app.get(
    '/v1/audit/retention',
    {
      config: { action: { name: 'http.retention.read', capability: 'audit.read', effect: 'read' } },
      schema: { summary: 'How long the content of entries stays, by kind', response: { 200: Rules } },
    },
    async (request) => ({ rules: await retention.rules(request.principal.tenant) }),
  )

  app.put(
    '/v1/audit/retention',
    {
      config: { action: { name: 'http.retention.set', capability: 'audit.retention', effect: 'write' } },
      schema: {
        summary: 'Set how long the content of entries stays, by kind. Kinds without a rule stay for good.',
        body: Rules,
        response: { 200: Rules },
      },
    },
    async (request) => {
      const { tenant, id: by } = request.principal
      await retention.setRules(tenant, request.body.rules, by)
      return request.body
    },
  )

  app.post(
    '/v1/audit/retention/runs',
    {
      config: { action: { name: 'http.retention.apply', capability: 'audit.retention', effect: 'destructive' } },
      schema: {
        summary: 'Apply the rules now, or see what they would take away',
        body: z.strictObject({ dryRun: z.boolean().default(false) }),
        response: { 200: RetentionReport },
      },
    },
    async (request) => {
      const report = await retentionWork.apply(request.principal.tenant, { isDryRun: request.body.dryRun })
      if (!report)
        throw new SomaError('conflict', 'The rules are being applied already. See what they took away with a dry run later.', {
          retryable: true,
        })
      return report
    },
  )

  app.get(
    '/v1/audit/holds',
    {
      config: { action: { name: 'http.holds.list', capability: 'audit.read', effect: 'read' } },
      schema: {
        summary: 'Legal holds: what is not taken away whatever the rules say',
        response: { 200: z.object({ items: z.array(LegalHold) }) },
      },
    },
    async (request) => ({ items: await retention.holds(request.principal.tenant) }),
  )

  app.post(
    '/v1/audit/holds',
    {
      config: { action: { name: 'http.holds.place', capability: 'audit.hold', effect: 'write' } },
      schema: {
        summary: 'Keep the content of everything, or of streams whose names begin so, until the hold is lifted',
        body: z.strictObject({ streams: z.array(z.string().min(1).max(1000)).max(100).default([]), reason: Reason }),
        response: { 201: LegalHold },
      },
    },
    async (request, reply) => {
      const { tenant, id: by } = request.principal
      return reply.code(201).send(await retention.placeHold(tenant, { ...request.body, by }))
    },
  )

  app.post(
    '/v1/audit/holds/:id/lift',
    {
      config: { action: { name: 'http.holds.lift', capability: 'audit.hold', effect: 'write' } },
      schema: {
        summary: 'Lift a legal hold',
        params: z.object({ id: z.string() }),
        body: z.strictObject({ reason: Reason }),
        response: { 200: LegalHold },
      },
    },
    (request) => {
      const { tenant, id: by } = request.principal
      return retention.liftHold(tenant, request.params.id, { reason: request.body.reason, by })
    },
  )
}
