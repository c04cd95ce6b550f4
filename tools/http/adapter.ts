import { adapter } from '@soma/contracts/operation'
import { download } from './download.ts'
import { get, head } from './read.ts'
import { request } from './request.ts'

export const httpAdapter = adapter<null>({
  name: 'http',
  title: 'HTTP',
  source: 'web',
  summary: 'Requests to any web server that the egress rules allow.',
  operations: [get, head, request, download],
  connect: async () => null,
  health: async () => ({ ok: true, detail: 'needs nothing on this machine' }),
})
