import { SomaError } from '@soma/contracts/errors'
import { z } from 'zod'
import { PageInput, PageOutput, pageOperation } from './page.ts'

const MAX_RESULT_CHARACTERS = 1_000_000

export const evaluate = pageOperation({
  name: 'playwright.evaluate',
  summary: 'Open a page and run JavaScript in it',
  description: 'The script may do on the page what a visitor can, so it counts as a write.',
  effect: 'write',
  input: PageInput.extend({
    script: z
      .string()
      .min(1)
      .max(100_000)
      .describe('The body of an async function: `return document.title`. What it returns must be JSON.'),
    argument: z.json().default(null).describe('In scope as `argument`'),
  }),
  output: PageOutput.extend({ value: z.json() }),
  async work(page, { script, argument }) {
    return { value: asJson(await page.evaluate(`(async (argument) => {${script}\n})(${JSON.stringify(argument)})`)) }
  },
})

function asJson(value: unknown): z.core.util.JSONType {
  let text: string
  try {
    text = JSON.stringify(value ?? null)
  } catch (error) {
    throw new SomaError(
      'tool_failed',
      `What the script returned can not be written as JSON: ${(error as Error).message}`,
      { retryable: false },
      { cause: error },
    )
  }
  if (text.length > MAX_RESULT_CHARACTERS) {
    throw new SomaError(
      'tool_failed',
      `The script returned ${text.length} characters of JSON; the limit is ${MAX_RESULT_CHARACTERS}. Return less.`,
      {
        retryable: false,
      },
    )
  }
  return JSON.parse(text)
}
