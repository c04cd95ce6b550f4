import { adapter } from '@soma/contracts/operation'
import { markdown } from './markdown.ts'
import { render } from './render.ts'

export const reportAdapter = adapter({
  name: 'report',
  title: 'Reports',
  summary: 'Lay out what a project found, as a page for people, as JSON and as Markdown',
  operations: [render, markdown],
  connect: async () => undefined,
  health: async () => ({ ok: true, detail: 'needs nothing' }),
})
