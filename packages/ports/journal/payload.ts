import { SomaError } from '@soma/contracts/errors'

/** Characters of one payload's JSON at the most. What is larger belongs into objects. */
export const MAX_PAYLOAD = 8 * 1024 * 1024

/**
 * The JSON text under which a payload is stored and hashed.
 * @throws `invalid_input` for what JSON can't hold and for what is too large
 */
export function payloadText(kind: string, payload: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(payload ?? null)
  } catch (cause) {
    throw new SomaError(
      'invalid_input',
      `The payload of ${kind} can't be written as JSON: ${(cause as Error).message}.`,
      { kind },
      { cause },
    )
  }
  if (text.length > MAX_PAYLOAD) {
    throw new SomaError(
      'invalid_input',
      `The payload of ${kind} holds ${text.length} characters; ${MAX_PAYLOAD} is the most. Put large content into objects and keep its digest.`,
      { kind, size: text.length },
    )
  }
  return text
}
