import { z } from 'zod'
import { PageInput, PageOutput, pageOperation } from './page.ts'

export const openPageText = pageOperation({
  name: 'playwright.open_page_text',
  summary: 'Open a page and read its text as a person sees it',
  effect: 'read',
  input: PageInput.extend({ maxCharacters: z.number().int().min(1).max(1_000_000).default(200_000) }),
  output: PageOutput.extend({ text: z.string(), truncated: z.boolean() }),
  async work(page, { maxCharacters }) {
    const text = String(await page.evaluate(`(document.body?.innerText ?? '').slice(0, ${maxCharacters + 1})`))
    return { text: text.slice(0, maxCharacters), truncated: text.length > maxCharacters }
  },
})

const MOST_LINKS = 5000
/** Runs in the page, where `href` of an element is absolute already. */
const COLLECT_LINKS = `Array.from(document.querySelectorAll('a[href]'))
  .slice(0, ${MOST_LINKS + 1})
  .map((link) => ({ url: String(link.href), text: String(link.innerText ?? '').trim().slice(0, 500) }))`
const Links = z.array(z.object({ url: z.string(), text: z.string() }))

export const links = pageOperation({
  name: 'playwright.links',
  summary: 'Open a page and list its links',
  effect: 'read',
  input: PageInput,
  output: PageOutput.extend({ links: Links, truncated: z.boolean() }),
  async work(page) {
    const found = Links.parse(await page.evaluate(COLLECT_LINKS))
    return { links: found.slice(0, MOST_LINKS), truncated: found.length > MOST_LINKS }
  },
})
