import { createHash } from 'node:crypto'
import type { Metadata } from './port.ts'

/**
 * Metadata as words, one for each field: equal for the same name, type and value only. What comes from outside is hashed, so no text
 * can end a literal, and no name can mean a path.
 */
export function labelsOf(metadata: Metadata): string[] {
  return Object.entries(metadata).map((entry) => hashed(JSON.stringify(entry)))
}

/** A short word without meaning, the same for the same text. */
export function hashed(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
