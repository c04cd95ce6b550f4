import type { Finding } from './finding.ts'
import { entriesOf, fieldsOf, listOf, textOf } from './lockfiles/untyped.ts'
import type { YamlDocument } from './yamlFile.ts'

/** Fields of an event that whoever opens an issue or a pull request writes. */
const FOREIGN =
  /\$\{\{[^}]*\b(github\.head_ref|github\.event\.(issue|pull_request|discussion|comment|review|review_comment|head_commit|commits|pages|workflow_run)\b[^}]*\b(title|body|message|name|email|ref|label|default_branch|page_name|head_branch|display_title))\b[^}]*\}\}/

/** Well-known dangers in a workflow of GitHub Actions, https://docs.github.com/actions/security-for-github-actions */
export function checkWorkflow(path: string, { fields, lineOf }: YamlDocument): Finding[] {
  const findings: Finding[] = []
  const add = (at: (string | number)[], rule: string, severity: Finding['severity'], message: string, advice: string) =>
    findings.push({ rule: `workflow.${rule}`, severity, path, line: lineOf(at), message, advice })
  const jobs = entriesOf(fields.jobs)
  const triggers = new Set(
    typeof fields.on === 'string' ? [fields.on] : Array.isArray(fields.on) ? fields.on.map(String) : Object.keys(fieldsOf(fields.on)),
  )
  const isPrivileged = triggers.has('pull_request_target') || triggers.has('workflow_run')

  const bare = jobs.filter(([, job]) => job.permissions === undefined)
  if (fields.permissions === undefined && bare.length > 0) {
    add(
      [],
      'no-permissions',
      'medium',
      'No permissions are given: the token may do all that the repository allows.',
      'Add "permissions: contents: read" at the top and more only where a job needs it.',
    )
  }
  for (const [at, permissions] of [
    [['permissions'], fields.permissions],
    ...jobs.map(([name, job]) => [['jobs', name, 'permissions'], job.permissions]),
  ] as [string[], unknown][]) {
    if (permissions === 'write-all')
      add(at, 'write-all', 'high', 'The token may write everything.', 'Name the permissions that are needed.')
  }
  for (const [name, job] of jobs) {
    checkUses(textOf(job.uses), ['jobs', name, 'uses'])
    listOf(job.steps).forEach((value, index) => {
      const step = fieldsOf(value)
      const at = ['jobs', name, 'steps', index]
      checkUses(textOf(step.uses), [...at, 'uses'])
      const inputs = fieldsOf(step.with)
      for (const [key, script] of [
        ['run', step.run],
        ['script', textOf(step.uses)?.startsWith('actions/github-script') ? inputs.script : undefined],
      ] as const) {
        const match = FOREIGN.exec(textOf(script) ?? '')
        if (match) {
          add(
            key === 'run' ? [...at, 'run'] : [...at, 'with', 'script'],
            'script-injection',
            'high',
            `A stranger's text becomes part of a script: ${match[1]}.`,
            'Put it into env and use the variable in the script.',
          )
        }
      }
      if (
        isPrivileged &&
        textOf(step.uses)?.startsWith('actions/checkout') &&
        /head[._](ref|sha|branch|repo)|refs\/pull/.test(textOf(inputs.ref) ?? '')
      ) {
        add(
          [...at, 'uses'],
          'untrusted-checkout',
          'critical',
          "A workflow that holds the repository's secrets checks out a stranger's code.",
          'Use pull_request, or do not check out the head of the pull request.',
        )
      }
    })
  }
  return findings

  function checkUses(uses: string | undefined, at: (string | number)[]): void {
    if (uses === undefined || uses.startsWith('./')) return
    if (uses.startsWith('docker://')) {
      if (!uses.includes('@sha256:')) add(at, 'unpinned-image', 'low', `"${uses}" is not pinned by a digest.`, 'Pin it by @sha256:…')
      return
    }
    const reference = uses.slice(uses.indexOf('@') + 1)
    if (/^[0-9a-f]{40}$/.test(reference)) return
    const isFirstParty = /^(actions|github)\//.test(uses)
    const message = `"${uses}" can change under you: a tag or branch is not fixed.`
    add(at, 'unpinned-action', isFirstParty ? 'low' : 'medium', message, 'Pin it by the commit, with the version in a comment.')
  }
}

/** GitLab CI, by the same measure. */
export function checkGitlabCi(path: string, { fields, lineOf }: YamlDocument): Finding[] {
  const includes = [fields.include].flat().map((one) => textOf(one) ?? textOf(fieldsOf(one).remote))
  return includes
    .filter((remote) => remote?.startsWith('http'))
    .map((remote) => ({
      rule: 'gitlab.remote-include',
      severity: 'medium' as const,
      path,
      line: lineOf(['include']),
      message: `Jobs are included from ${remote?.replace(/\/\/[^/@]*@/, '//')}, which can change under you.`,
      advice: 'Include a file of a project at a fixed ref.',
    }))
}
