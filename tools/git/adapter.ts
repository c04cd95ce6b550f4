import { SomaError } from '@soma/contracts/errors'
import { adapter } from '@soma/contracts/operation'
import { runProcess } from '../frame/process.ts'
import { activity } from './activity.ts'
import * as branches from './branches.ts'
import { churn } from './churn.ts'
import { clone } from './clone.ts'
import { commit } from './commit.ts'
import { diff } from './diff.ts'
import { files, show } from './files.ts'
import { inspect } from './inspect.ts'
import { log } from './log.ts'
import { ownership } from './ownership.ts'
import { status } from './status.ts'

/** The first git that takes `safe.directory` from its arguments. */
const OLDEST = [2, 38] as const

export const gitAdapter = adapter({
  name: 'git',
  title: 'Git',
  source: 'repository',
  summary: 'Read the history of repositories, and write branches and commits',
  operations: [
    inspect,
    log,
    activity,
    ownership,
    churn,
    files,
    show,
    diff,
    status,
    branches.list,
    branches.create,
    branches.remove,
    commit,
    clone,
  ],
  connect: installedGit,
  health: () =>
    installedGit().then(
      ({ version }) => ({ ok: true, detail: `git ${version}` }),
      (error: Error) => ({ ok: false, detail: error.message }),
    ),
})

async function installedGit(): Promise<{ version: string }> {
  const { stdout } = await runProcess('git', ['--version'])
  const [, version = '', major, minor] = /(([0-9]+)\.([0-9]+)[0-9.]*)/.exec(stdout.toString('utf8')) ?? []
  const isOld = Number(major) < OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) < OLDEST[1])
  if (version === '' || isOld) {
    throw new SomaError('tool_unavailable', `git ${version || '(unknown version)'} is too old. Install git ${OLDEST.join('.')} or newer.`)
  }
  return { version }
}
