import { expect, it } from 'vitest'
import { faultsOf } from '../frame/testing.ts'
import { gitAdapter } from './adapter.ts'

it('declares every operation in full', () => {
  expect(faultsOf(gitAdapter)).toEqual([])
})

it('is healthy where git is, and says what to install where it is not', async () => {
  expect(await gitAdapter.health()).toEqual({ ok: true, detail: expect.stringMatching(/^git \d+\.\d+/) })
  const path = process.env.PATH
  process.env.PATH = '/nowhere'
  try {
    expect(await gitAdapter.health()).toEqual({ ok: false, detail: expect.stringContaining('Install git') })
  } finally {
    process.env.PATH = path
  }
})

it('tells policy which repository, where a clone comes from, and that a delete destroys', () => {
  const facts = (name: string, input: object) => gitAdapter.operations.find((operation) => operation.name === name)?.resource?.(input)
  expect(facts('git.commit', { repository: '/a/../b', branch: 'x' })).toEqual({
    kind: 'repository',
    path: '/b',
    created_by_project: false,
    branch: 'x',
  })
  expect(facts('git.clone', { source: 'https://example.org/x.git', folder: 'x' })).toMatchObject({
    host: 'example.org',
    inside_workspace: true,
  })
  expect(gitAdapter.operations.filter(({ effect }) => effect === 'destructive').map(({ name }) => name)).toEqual(['git.branches.delete'])
})
