import { expect, it } from 'vitest'
import { faultsOf } from '../frame/testing.ts'
import { filesAdapter } from './adapter.ts'

it('declares every operation in full', () => {
  expect(faultsOf(filesAdapter)).toEqual([])
})
