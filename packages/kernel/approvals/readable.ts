import { Document } from 'yaml'

/**
 * A value as text that a person can read and compare line by line: YAML with keys in order, one field a line, texts of several lines
 * as they are. The same value always gives the same text.
 */
export function readable(value: unknown): string {
  const document = new Document(value ?? null, { sortMapEntries: true, aliasDuplicateObjects: false })
  return document.toString({ lineWidth: 0, blockQuote: 'literal', defaultStringType: 'PLAIN' })
}
