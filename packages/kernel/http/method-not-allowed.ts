export interface KnownRoute {
  url: string
  methods: readonly string[]
}

/** The methods under which a path answers; empty when nothing is there. Only asked when nothing answered. */
export function allowedMethods(routes: readonly KnownRoute[], path: string): string[] {
  const parts = path.split('/')
  return [...new Set(routes.filter((route) => matches(route.url.split('/'), parts)).flatMap((route) => route.methods))].sort()
}

function matches(pattern: readonly string[], parts: readonly string[]): boolean {
  const isWildcard = pattern.at(-1) === '*'
  const fixed = isWildcard ? pattern.slice(0, -1) : pattern
  if (isWildcard ? parts.length < fixed.length : parts.length !== fixed.length) return false
  return fixed.every((part, index) => part === parts[index] || (part.startsWith(':') && parts[index] !== ''))
}
