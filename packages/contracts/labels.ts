import { z } from 'zod'

/**
 * What is known of data: where it comes from (`untrusted.web`, `untrusted.repository`) and what it holds (`secret`, `personal`). A label
 * says all that its beginnings say: what is `untrusted.web` is `untrusted`.
 */
export const Label = z
  .string()
  .regex(/^[a-z][a-z0-9-]*(\.[a-z0-9-]+)*$/, 'A label is lower-case words with dots between them: untrusted.web, secret, personal.')

/** The labels, and each beginning of one: `untrusted.web` gives `untrusted` too. Sorted, each once. */
export function withBeginnings(labels: readonly string[]): string[] {
  const all = new Set<string>()
  for (const label of labels) {
    for (let end = label.indexOf('.'); end !== -1; end = label.indexOf('.', end + 1)) all.add(label.slice(0, end))
    all.add(label)
  }
  return [...all].sort()
}

/** The labels that are left when these are taken away, and with each everything below it. */
export function withoutLabels(labels: readonly string[], taken: readonly string[]): string[] {
  return labels.filter((label) => !taken.some((each) => label === each || label.startsWith(`${each}.`)))
}
