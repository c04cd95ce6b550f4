import { SomaError } from '@soma/contracts/errors'
import { type OperationContext, operation } from '@soma/contracts/operation'
import type { Page } from 'playwright-core'
import { z } from 'zod'
import { httpTarget, WebUrl } from '../frame/httpTarget.ts'
import type { BrowserClient } from './browser.ts'
import { type GuardedNetwork, guardNetwork } from './network.ts'

/** What every operation on a page is told; an operation adds its own fields. */
export const PageInput = z.strictObject({
  url: WebUrl,
  waitUntil: z.enum(['commit', 'domcontentloaded', 'load', 'networkidle']).default('load').describe('When the page counts as open'),
  openSeconds: z.number().positive().max(120).default(30).describe('How long it may take to open'),
  viewport: z
    .strictObject({ width: z.number().int().min(1).max(4000), height: z.number().int().min(1).max(4000) })
    .default({ width: 1280, height: 800 }),
})
type PageInput = z.infer<typeof PageInput>

/** What every operation on a page tells. */
export const PageOutput = z.object({
  url: z.string().describe('Where the page came from in the end'),
  status: z.number().int(),
  title: z.string(),
  blocked: z
    .array(z.object({ url: z.string(), code: z.string(), message: z.string() }))
    .describe('Requests of the page that got no answer, the first 20'),
})
type PageOutput = z.infer<typeof PageOutput>

interface PageOperation<Input extends PageInput, Output extends PageOutput> {
  name: string
  summary: string
  description?: string
  effect: 'read' | 'write'
  input: z.ZodType<Input>
  output: z.ZodType<Output>
  /** What is done on the open page; gives the operation's own fields of the output. */
  work(page: Page, input: Input, context: OperationContext<BrowserClient>): Promise<Omit<Output, keyof PageOutput>>
}

/** Declares an operation that opens a page and does one thing on it. */
export function pageOperation<Input extends PageInput, Output extends PageOutput>(declared: PageOperation<Input, Output>) {
  const { name, summary, description, effect, input, output, work } = declared
  return operation<Input, Output, BrowserClient>({
    name,
    summary,
    description,
    input,
    output,
    effect,
    capability: `tool.playwright.${effect}`,
    idempotency: { kind: effect === 'read' ? 'read' : 'none' },
    timeoutSeconds: 150,
    untrustedOutput: true,
    resource: ({ url }) => httpTarget(url, 'GET'),
    run: async (wanted, context) => output.parse(await withPage(wanted, context, (page) => work(page, wanted, context))),
  })
}

/**
 * Opens a page in a context of its own, which is gone afterwards with its cookies and storage, and lets `work` look at it.
 * @throws egress_blocked, tool_unavailable, tool_timeout, tool_failed; the signal's reason when it aborts
 */
async function withPage<Result>(
  input: PageInput,
  context: OperationContext<BrowserClient>,
  work: (page: Page) => Promise<Result>,
): Promise<PageOutput & Result> {
  context.signal.throwIfAborted()
  const browser = await context.client.browser()
  const session = await browser.newContext({ viewport: input.viewport, serviceWorkers: 'block', acceptDownloads: false })
  const ended = new AbortController()
  // Closing ends whatever waits on the page, also a script that never returns.
  const end = async () => {
    ended.abort(context.signal.reason)
    await session.close()
  }
  const abort = () => void end().catch(() => undefined) // A browser that died has nothing left to close.
  context.signal.addEventListener('abort', abort, { once: true })
  try {
    context.signal.throwIfAborted()
    const network = await guardNetwork(session, context.fetch, ended.signal)
    const page = await session.newPage()
    const status = await open(page, input, network)
    const result = await work(page)
    return { url: page.url(), status, title: await page.title(), blocked: [...network.blocked], ...result }
  } catch (error) {
    throw context.signal.aborted ? context.signal.reason : pageFailure(error, input)
  } finally {
    context.signal.removeEventListener('abort', abort)
    await end()
  }
}

async function open(page: Page, input: PageInput, network: GuardedNetwork): Promise<number> {
  let status: number | undefined
  await network.open(page.mainFrame(), input.url, async (url) => {
    const response = await page.goto(url, { waitUntil: input.waitUntil, timeout: input.openSeconds * 1000 })
    status = response?.status()
  })
  if (status === undefined) throw new SomaError('tool_failed', `${new URL(input.url).host} gave no page.`)
  return status
}

function pageFailure(error: unknown, { url, openSeconds }: PageInput): SomaError {
  if (SomaError.is(error)) return error
  const { host } = new URL(url)
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const [reason = ''] = message.split('\n')
  if (name === 'TimeoutError') {
    return new SomaError(
      'tool_timeout',
      `The page of ${host} was not ready within ${openSeconds} seconds.`,
      { host, openSeconds },
      { cause: error },
    )
  }
  if (message.includes('Download is starting')) {
    return new SomaError(
      'tool_failed',
      `${host} gave a file instead of a page. Fetch it with http.download.`,
      { host, retryable: false },
      { cause: error },
    )
  }
  return new SomaError('tool_failed', `The page of ${host} failed: ${reason}`, { host }, { cause: error })
}
