import { expect, test } from 'vitest'
import { fuseRankings } from './reciprocal-rank-fusion.ts'

const ranking = (...ids: string[]) => ids.map((id) => ({ id }))

test('what is first everywhere scores 1', () => {
  expect(fuseRankings([ranking('a', 'b'), ranking('a', 'c')])[0]).toEqual({ id: 'a', score: 1 })
})

test('two middling ranks beat one good one', () => {
  const fused = fuseRankings([ranking('a', 'b', 'c'), ranking('d', 'e', 'c')])
  expect(fused.map((item) => item.id)).toEqual(['c', 'a', 'd', 'b', 'e'])
})

test('a score is the mean of 61 / (60 + rank)', () => {
  const [, second] = fuseRankings([ranking('a', 'b'), ranking('a')])
  expect(second?.score).toBeCloseTo(61 / 62 / 2)
})

test('nothing fused is nothing', () => {
  expect(fuseRankings([[], []])).toEqual([])
})
