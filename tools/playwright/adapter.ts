import { adapter } from '@soma/contracts/operation'
import { type BrowserClient, connectBrowser, findBrowser } from './browser.ts'
import { pdf, screenshot } from './capture.ts'
import { evaluate } from './evaluate.ts'
import { links, openPageText } from './read.ts'

export const playwrightAdapter = adapter<BrowserClient>({
  name: 'playwright',
  title: 'Browser',
  source: 'web',
  summary: 'Web pages as a browser shows them, each opened in a context of its own, behind the egress rules.',
  operations: [openPageText, links, screenshot, pdf, evaluate],
  connect: connectBrowser,
  close: (client) => client.close(),
  health: () =>
    findBrowser().then(
      (path) => ({ ok: true, detail: path }),
      (error: Error) => ({ ok: false, detail: error.message }),
    ),
})
