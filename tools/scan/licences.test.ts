import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { commitFiles, contextFor, emptyRepository } from '../frame/testing.ts'
import { groupOf, normalisedExpression } from './licenceGroup.ts'
import { licences } from './licences.ts'

const listed = createRequire(import.meta.url)('spdx-license-list/full') as Record<string, { licenseText: string }>
const textOf = (id: string) => listed[id]?.licenseText.replace('<year>', '2024').replace('<copyright holders>', 'Ada Lovelace') ?? ''

async function scanFiles(files: Record<string, string>, stated: (string | undefined)[], more = {}) {
  const repository = await emptyRepository()
  await commitFiles(repository, files)
  const dependencies = stated.map((licence, index) => ({
    ...{
      ecosystem: 'npm',
      name: `p${index}`,
      version: '1.0.0',
      direct: true,
      dev: false,
      integrity: true,
      source: 'registry',
      path: 'package-lock.json',
    },
    ...{ purl: `pkg:npm/p${index}@1.0.0`, licence, ...more },
  }))
  const report = await licences.run(licences.input.parse({ repository, dependencies }), contextFor('/'))
  expect(licences.output.parse(report)).toEqual(report)
  return report
}

describe('scan.licences', () => {
  it.each(['MIT', 'Apache-2.0', 'BSD-3-Clause', 'BSD-2-Clause', 'ISC', 'MPL-2.0', 'AGPL-3.0-only', 'Unlicense'])(
    'recognises the text of %s',
    async (id) => {
      const report = await scanFiles({ LICENSE: textOf(id) }, [])
      expect(report.repository.expression).toBe(id)
    },
  )

  it('knows no licence where there is none, and says when manifest and text differ', async () => {
    expect((await scanFiles({ LICENSE: 'All rights reserved. Ask me.\n' }, [])).repository).toMatchObject({
      expression: null,
      group: 'unknown',
    })
    const both = await scanFiles({ 'LICENSE.md': textOf('MIT'), 'package.json': '{"license":"Apache-2.0"}' }, [])
    expect(both.repository).toMatchObject({ expression: 'Apache-2.0', disagreement: true })
    const dual = await scanFiles({ 'LICENSE-MIT': textOf('MIT'), 'LICENSE-APACHE': textOf('Apache-2.0') }, [])
    expect(dual.repository).toMatchObject({ expression: 'Apache-2.0 OR MIT', disagreement: false })
  })

  it('groups what lock files state and finds what does not go together', async () => {
    const report = await scanFiles({ LICENSE: textOf('MIT') }, [
      'MIT',
      'GPL-3.0-only',
      'AGPL-3.0-only',
      'LGPL-3.0-only',
      'MIT OR GPL-3.0-only',
      undefined,
      'UNLICENSED',
      'SEE LICENSE IN X',
    ])
    expect(report.conflicts.map(({ name, severity }) => [name, severity])).toEqual([
      ['p1', 'high'],
      ['p2', 'high'],
      ['p6', 'medium'],
    ])
    expect(report.unclear.map(({ name, stated }) => [name, stated])).toEqual([
      ['p5', null],
      ['p7', 'SEE LICENSE IN X'],
    ])
    expect(report.groups.map(({ group, dependencies }) => [group, dependencies])).toEqual([
      ['permissive', 2],
      ['weak-copyleft', 1],
      ['strong-copyleft', 1],
      ['network-copyleft', 1],
      ['proprietary', 1],
      ['unknown', 2],
    ])
    expect((await scanFiles({ LICENSE: textOf('MIT') }, ['GPL-3.0-only'], { dev: true })).conflicts).toEqual([])
    expect(
      (await scanFiles({ 'package.json': '{"license":"GPL-2.0-only"}' }, ['Apache-2.0', 'MIT', 'Apache-2.0 OR MIT'])).conflicts.map(
        ({ name }) => name,
      ),
    ).toEqual(['p0'])
  })

  it.each([
    ['Apache 2.0', 'Apache-2.0', 'permissive'],
    ['(MIT OR Apache-2.0)', 'MIT OR Apache-2.0', 'permissive'],
    ['MIT/Apache-2.0', 'MIT OR Apache-2.0', 'permissive'],
    ['MIT AND (GPL-2.0-only OR BSD-3-Clause)', 'MIT AND (GPL-2.0-only OR BSD-3-Clause)', 'permissive'],
    ['GPL-2.0-only WITH Classpath-exception-2.0', 'GPL-2.0-only WITH Classpath-exception-2.0', 'weak-copyleft'],
    ['BUSL-1.1', 'BUSL-1.1', 'proprietary'],
    ['UNLICENSED', 'UNLICENSED', 'proprietary'],
    ['whatever you like, friend', null, 'unknown'],
    [undefined, null, 'unknown'],
  ])('understands %s', (stated, expression, group) => {
    expect(normalisedExpression(stated)).toBe(expression)
    expect(groupOf(normalisedExpression(stated))).toBe(group)
  })
})
