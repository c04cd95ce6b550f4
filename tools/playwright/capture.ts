import { z } from 'zod'
import { PageInput, PageOutput, pageOperation } from './page.ts'

const Kept = PageOutput.extend({ digest: z.string(), size: z.number().int(), mediaType: z.string() })

export const screenshot = pageOperation({
  name: 'playwright.screenshot',
  summary: 'Open a page and keep a picture of it as an object',
  effect: 'read',
  input: PageInput.extend({
    format: z.enum(['png', 'jpeg']).default('png'),
    extent: z.enum(['viewport', 'page']).default('viewport').describe('What is visible at first, or the whole page'),
  }),
  output: Kept,
  async work(page, { format, extent }, { objects }) {
    return objects.put(await page.screenshot({ type: format, fullPage: extent === 'page' }), `image/${format}`)
  },
})

export const pdf = pageOperation({
  name: 'playwright.pdf',
  summary: 'Open a page and keep it as a PDF object',
  effect: 'read',
  input: PageInput.extend({
    format: z.enum(['A3', 'A4', 'A5', 'Letter', 'Legal']).default('A4'),
    orientation: z.enum(['portrait', 'landscape']).default('portrait'),
  }),
  output: Kept,
  async work(page, { format, orientation }, { objects }) {
    return objects.put(await page.pdf({ format, landscape: orientation === 'landscape', printBackground: true }), 'application/pdf')
  },
})
