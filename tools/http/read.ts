import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { httpTarget, WebUrl } from '../frame/httpTarget.ts'
import { Answer, AnswerHead, answerHead, answerOptions, RequestHeaders, readAnswer } from './answer.ts'

export const get = operation({
  name: 'http.get',
  summary: 'Fetch what a URL holds',
  input: z.strictObject({ url: WebUrl, headers: RequestHeaders, ...answerOptions }),
  output: Answer,
  effect: 'read',
  capability: 'tool.http.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: ({ url }) => httpTarget(url, 'GET'),
  run: async (input, { fetch, signal }) => readAnswer(await fetch(input.url, { headers: input.headers, signal }), input),
})

export const head = operation({
  name: 'http.head',
  summary: 'Ask whether a URL is there and what kind it is',
  description: 'Status and headers without the body. An error status is an answer.',
  input: z.strictObject({ url: WebUrl, headers: RequestHeaders }),
  output: AnswerHead,
  effect: 'read',
  capability: 'tool.http.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: ({ url }) => httpTarget(url, 'HEAD'),
  run: async (input, { fetch, signal }) => answerHead(await fetch(input.url, { method: 'HEAD', headers: input.headers, signal })),
})
