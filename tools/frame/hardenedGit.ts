import { devNull } from 'node:os'

/**
 * Options that win over a repository's own configuration, which may be hostile: nothing it names is ever executed. What only an
 * argument turns off is the caller's to pass: `--no-ext-diff --no-textconv` to whatever shows a diff. Filters (`filter.*`) run
 * when git reads the work tree; see `withoutFilters`.
 */
const HARDENED = [
  'core.fsmonitor=false',
  `core.hooksPath=${devNull}`,
  'core.pager=cat',
  'core.editor=false',
  'core.askPass=',
  'core.sshCommand=false',
  'core.alternateRefsCommand=',
  `core.attributesFile=${devNull}`,
  `core.excludesFile=${devNull}`,
  'core.quotePath=false',
  'core.splitIndex=false',
  'core.untrackedCache=false',
  'core.bigFileThreshold=16m', // larger files are streamed and never diffed as text, so memory stays bounded
  'credential.helper=',
  'diff.renames=false',
  'diff.ignoreSubmodules=none',
  'log.showSignature=false',
  'log.mailmap=true',
  'log.showRoot=true',
  'i18n.commitEncoding=UTF-8',
  'i18n.logOutputEncoding=UTF-8',
  'commit.gpgSign=false',
  'gc.auto=0',
  'maintenance.auto=false',
  'submodule.recurse=false',
  'color.ui=false',
  'column.ui=never',
].flatMap((setting) => ['-c', setting])

const ENVIRONMENT = {
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: devNull,
  GIT_TERMINAL_PROMPT: '0',
  GIT_PAGER: 'cat',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_NO_LAZY_FETCH: '1',
  GIT_LITERAL_PATHSPECS: '1',
  GIT_ALLOW_PROTOCOL: 'none', // wins over protocol.*.allow in the repository's configuration
}

/** The arguments that go before the git command, and its environment, for a folder that was asked for by name. */
export function hardenedGit(folder: string, args: string[], env: Record<string, string> = {}) {
  return {
    args: ['--no-pager', '-C', folder, '-c', `safe.directory=${folder}`, ...HARDENED, ...args],
    env: { ...ENVIRONMENT, ...env },
  }
}
