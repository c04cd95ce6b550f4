import { isUtf8 } from 'node:buffer'
import { SomaError } from '@soma/contracts/errors'
import { git, type Repository } from '../frame/git.ts'

/**
 * Environment that turns off the filters which the repository's configuration names: git runs them when it compares the work tree,
 * and they are programs. Set by environment, because a name with "=" could not be given with `-c`.
 */
export async function withoutFilters(repository: Repository): Promise<Record<string, string>> {
  const listed = await git(repository, ['config', '--null', '--name-only', '--get-regexp', '^filter\\.'], { accept: [0, 1] })
  if (!isUtf8(listed.stdout)) {
    throw new SomaError('tool_failed', `The configuration of "${repository.root}" names a filter in bytes that are not UTF-8. Remove it.`)
  }
  const names = new Set(
    listed.stdout
      .toString('utf8')
      .split('\0')
      .filter((key) => key.includes('.'))
      .map((key) => key.slice(0, key.lastIndexOf('.'))),
  )
  const settings = [...names].flatMap((name) => [
    [`${name}.clean`, ''],
    [`${name}.smudge`, ''],
    [`${name}.process`, ''],
    [`${name}.required`, 'false'],
  ])
  return Object.fromEntries([
    ['GIT_CONFIG_COUNT', String(settings.length)],
    ...settings.flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, key],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ])
}

/** @throws invalid_input for a bare repository */
export function requireWorkTree(repository: Repository): void {
  if (repository.bare) throw new SomaError('invalid_input', `"${repository.root}" is a bare repository: it has no work tree.`)
}
