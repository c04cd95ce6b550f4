import { SomaError } from '@soma/contracts/errors'
import type { ChatRequest, EmbedRequest } from './port.ts'

const MOST_STOPS = 4
const HOTTEST = 2

/** @throws `invalid_input` */
export function requireChat({ messages, maxTokens, temperature, stop = [] }: ChatRequest): void {
  if (messages.length === 0) throw invalid('messages is empty; a chat needs at least one message.', { messages: 0 })
  if (maxTokens !== undefined && !(Number.isInteger(maxTokens) && maxTokens > 0))
    throw invalid(`maxTokens is ${maxTokens}; it must be a whole number of at least 1.`, { maxTokens })
  if (temperature !== undefined && !(temperature >= 0 && temperature <= HOTTEST))
    throw invalid(`temperature is ${temperature}; it must be from 0 to ${HOTTEST}.`, { temperature })
  if (stop.length > MOST_STOPS || stop.includes(''))
    throw invalid(`stop must be at most ${MOST_STOPS} texts, none of them empty.`, { stop })
}

/** @throws `invalid_input` */
export function requireTexts({ texts }: EmbedRequest): void {
  if (texts.length === 0) throw invalid('texts is empty; there must be at least one text to embed.', { texts: 0 })
  const empty = texts.findIndex((text) => text.trim() === '')
  if (empty >= 0) throw invalid(`Text ${empty} is empty; there is nothing to embed.`, { text: empty })
}

function invalid(message: string, details: Record<string, unknown>): SomaError {
  return new SomaError('invalid_input', message, details)
}
