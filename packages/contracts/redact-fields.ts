/** What stands in the place of a field that a rule lets nobody see. */
export const REDACTED = '[redacted]'

/**
 * A copy without what stands at these paths. `*` is each of a list, or of an object's fields; a path that leads nowhere changes nothing.
 * @param paths `password`, `user.email`, `rows.*.token`
 */
export function redactFields(value: unknown, paths: readonly string[]): unknown {
  return paths.reduce((copy, path) => withoutField(copy, path.split('.')), value)
}

function withoutField(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return REDACTED
  if (Array.isArray(value)) return value.map((item, index) => (name === '*' || name === String(index) ? withoutField(item, rest) : item))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, item]) => [key, name === '*' || name === key ? withoutField(item, rest) : item])
  return Object.fromEntries(entries)
}
