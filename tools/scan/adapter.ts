import { adapter } from '@soma/contracts/operation'
import { runProcess } from '../frame/process.ts'
import { dependencies } from './dependencies.ts'
import { documentation } from './documentation.ts'
import { infrastructure } from './infrastructure.ts'
import { languages } from './languages.ts'
import { licences } from './licences.ts'
import { rank } from './rank.ts'
import { secrets } from './secrets.ts'

export const scanAdapter = adapter({
  name: 'scan',
  title: 'Repository scans',
  source: 'repository',
  summary: 'What can be known of a git repository by reading it: languages, dependencies, licences, secrets, documentation, infrastructure',
  operations: [languages, dependencies, licences, secrets, documentation, infrastructure, rank],
  connect: async () => undefined,
  health: () =>
    runProcess('git', ['--version']).then(
      ({ stdout }) => ({ ok: true, detail: stdout.toString('utf8').trim() }),
      (error: Error) => ({ ok: false, detail: error.message }),
    ),
})
