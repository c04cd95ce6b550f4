import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findCycle, findCycles, type Graph, orderOf, wavesOf } from './dag.ts'

const graphOf = (needs: Record<string, string[]>): Graph => new Map(Object.entries(needs))

test('waves hold what can run at once, in the order written', () => {
  const graph = graphOf({ report: ['scan', 'count'], scan: ['clone'], count: ['clone'], clone: [], alone: ['elsewhere'] })
  expect(wavesOf(graph)).toEqual([['clone', 'alone'], ['scan', 'count'], ['report']])
  expect(orderOf(graph)).toEqual(['clone', 'alone', 'scan', 'count', 'report'])
  expect(findCycle(graph)).toBeUndefined()
})

test('a cycle is given whole, without what only leads to it', () => {
  const graph = graphOf({ start: ['a'], a: ['b'], b: ['c'], c: ['a'], free: [] })
  expect(findCycle(graph)).toEqual(['a', 'b', 'c', 'a'])
  expect(wavesOf(graph)).toEqual([['free']])
})

test('every cycle is found, one that is only a node itself too', () => {
  expect(findCycles(graphOf({ a: ['b'], b: ['a'], c: ['c'], d: ['e'], e: ['d', 'd'] }))).toEqual([
    ['a', 'b', 'a'],
    ['c', 'c'],
    ['d', 'e', 'd'],
  ])
})

test('a chain of 50,000 nodes does not exhaust the stack', () => {
  const graph = new Map(Array.from({ length: 50_000 }, (_, index) => [`n${index}`, index === 0 ? [] : [`n${index - 1}`]]))
  expect(orderOf(graph)).toHaveLength(50_000)
  graph.set('n0', ['n49999'])
  expect(findCycle(graph)).toHaveLength(50_001)
})

/** Needs go only to earlier numbers, so there is no cycle; the order of the nodes is mixed. */
const acyclic = fc
  .array(fc.array(fc.nat(), { maxLength: 5 }), { maxLength: 30 })
  .chain((needs) => {
    const nodes = needs.map((list, index) => [`n${index}`, index === 0 ? [] : list.map((need) => `n${need % index}`)] as const)
    return fc.shuffledSubarray(nodes, { minLength: nodes.length })
  })
  .map((nodes): Graph => new Map(nodes))

test('the order of any graph without cycles holds every node once, after all it needs', () => {
  fc.assert(
    fc.property(acyclic, (graph) => {
      const order = orderOf(graph)
      expect([...order].sort()).toEqual([...graph.keys()].sort())
      const place = new Map(order.map((node, index) => [node, index]))
      for (const [node, needs] of graph) for (const need of needs) expect(place.get(need)).toBeLessThan(place.get(node) as number)
      expect(findCycle(graph)).toBeUndefined()
    }),
  )
})

test('of any graph, either all nodes are in order or a true cycle is given', () => {
  const any = fc.array(fc.array(fc.nat({ max: 9 }), { maxLength: 3 }), { maxLength: 10 })
  fc.assert(
    fc.property(any, (needs) => {
      const graph: Graph = new Map(needs.map((list, index) => [`n${index}`, list.map((need) => `n${need}`)]))
      const cycle = findCycle(graph)
      if (!cycle) {
        expect(orderOf(graph)).toHaveLength(graph.size)
        return
      }
      expect(cycle.length).toBeGreaterThan(1)
      expect(cycle[0]).toBe(cycle.at(-1))
      for (const [index, node] of cycle.slice(0, -1).entries()) expect(graph.get(node)).toContain(cycle[index + 1])
    }),
  )
})
