import { ERROR_CODES, SomaError } from '@soma/contracts/errors'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { asSomaError, HTTP_STATUS, problemHeaders, problemOf } from './problem.ts'

const at = { instance: '/v1/x', traceId: 't' }

test('every code has a status that says failure', () => {
  expect(Object.keys(HTTP_STATUS).sort()).toEqual(Object.keys(ERROR_CODES).sort())
  for (const status of Object.values(HTTP_STATUS)) expect(status).toSatisfy((value: number) => value >= 400 && value < 600)
})

test('a zod error names the fields', () => {
  const { error } = z.object({ plan: z.array(z.object({ id: z.string() })) }).safeParse({ plan: [{ id: 1 }] })
  expect(problemOf(error, at)).toMatchObject({ code: 'invalid_input', details: { errors: [{ path: 'plan.0.id' }] } })
})

test('what the database refuses is said as what it means', () => {
  const thrown = (code: string) => asSomaError(Object.assign(new Error('password=hunter2'), { code }))
  expect(thrown('22021')).toMatchObject({ code: 'invalid_input' })
  expect(thrown('53100')).toMatchObject({ code: 'disk_full' })
  for (const code of ['ECONNREFUSED', '57P01', '08006', '53300']) expect(thrown(code)).toMatchObject({ code: 'dependency_unavailable' })
  for (const cut of ['Connection terminated unexpectedly', 'Client has encountered a connection error and is not queryable'])
    expect(asSomaError(new Error(cut))).toMatchObject({ code: 'dependency_unavailable' })
  for (const code of ['22021', '53100', '57P01', '42601']) expect(thrown(code).message).not.toContain('hunter2')
  expect(thrown('42601')).toMatchObject({ code: 'internal' })
})

test.each([undefined, null, 'text', 42, new Error('x'), { statusCode: 404 }, { statusCode: 400, message: 'a secret' }])(
  '%j is internal',
  (thrown) => {
    expect(problemOf(thrown, at)).toMatchObject({ code: 'internal', status: 500, details: {}, traceId: 't' })
  },
)

test('Retry-After is a whole second at least', () => {
  const headers = (retryAfterSeconds: unknown) => problemHeaders(problemOf(new SomaError('rate_limited', '', { retryAfterSeconds }), at))
  expect(headers(0.2)['retry-after']).toBe('1')
  expect(headers('soon')['retry-after']).toBeUndefined()
})

test('who has to show a second factor is told so as RFC 9470 has it', () => {
  const challenge = (details = {}) => problemHeaders(problemOf(new SomaError('mfa_required', '', details), at))['www-authenticate']
  expect(challenge()).toContain('error="insufficient_user_authentication"')
  expect(challenge({ maxAgeSeconds: 300 })).toMatch(/max_age="300"$/)
  expect(problemHeaders(problemOf(new SomaError('unauthenticated', ''), at))['www-authenticate']).toBe('Bearer')
})
