/** Nodes in the order written, each with the nodes it needs. Needs that are not nodes are passed over. */
export type Graph = ReadonlyMap<string, readonly string[]>

/** Nodes that need each other in a circle, the first one again at the end: `['a', 'b', 'a']` when a needs b and b needs a. */
export function findCycle(graph: Graph): string[] | undefined {
  const { rest } = takeApart(graph)
  const [start] = rest
  if (start === undefined) return undefined
  const path: string[] = []
  const seen = new Map<string, number>()
  let node = start
  while (!seen.has(node)) {
    seen.set(node, path.length)
    path.push(node)
    // Every node that is left needs another that is left, otherwise it would have been taken.
    node = (graph.get(node) ?? []).find((need) => rest.has(need)) as string
  }
  return [...path.slice(seen.get(node)), node]
}

/** One cycle after another, none sharing a node with another. */
export function findCycles(graph: Graph): string[][] {
  const rest = new Map(graph)
  const cycles: string[][] = []
  for (let cycle = findCycle(rest); cycle; cycle = findCycle(rest)) {
    cycles.push(cycle)
    for (const node of cycle) rest.delete(node)
  }
  return cycles
}

/** Nodes by wave: each needs only nodes of the waves before. Nodes keep the order written. Nodes in a cycle, or that need one, are left out. */
export function wavesOf(graph: Graph): string[][] {
  return takeApart(graph).waves
}

/** Nodes such that each comes after all it needs. Nodes in a cycle, or that need one, are left out. */
export function orderOf(graph: Graph): string[] {
  return wavesOf(graph).flat()
}

/** Takes nodes off as what they need is taken (Kahn, 1962); what is left needs a cycle. */
function takeApart(graph: Graph): { waves: string[][]; rest: Set<string> } {
  const position = new Map([...graph.keys()].map((node, index) => [node, index]))
  const open = new Map<string, number>()
  const neededBy = new Map<string, string[]>()
  for (const [node, needs] of graph) {
    const known = new Set(needs.filter((need) => graph.has(need)))
    open.set(node, known.size)
    for (const need of known) neededBy.get(need)?.push(node) ?? neededBy.set(need, [node])
  }
  const waves: string[][] = []
  const rest = new Set(graph.keys())
  let wave = [...rest].filter((node) => open.get(node) === 0)
  while (wave.length > 0) {
    waves.push(wave)
    const next: string[] = []
    for (const node of wave) {
      rest.delete(node)
      for (const dependent of neededBy.get(node) ?? []) {
        const left = (open.get(dependent) as number) - 1
        open.set(dependent, left)
        if (left === 0) next.push(dependent)
      }
    }
    wave = next.sort((a, b) => (position.get(a) as number) - (position.get(b) as number))
  }
  return { waves, rest }
}
