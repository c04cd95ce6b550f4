import type { OperationContext } from '@soma/contracts/operation'
import type { TreeEntry } from '../frame/git.ts'
import { checkCompose, checkManifest } from './containerRules.ts'
import { checkDockerfile } from './dockerfileRules.ts'
import { compareText, type Finding, sortFindings } from './finding.ts'
import type { InfrastructureInput, InfrastructureReport } from './infrastructureReport.ts'
import { linguist } from './linguist.ts'
import { checkTerraform } from './terraformRules.ts'
import { baseName, contentsOf, folderOf, isBinary, openTree } from './tree.ts'
import { checkGitlabCi, checkWorkflow } from './workflowRules.ts'
import { readYaml, type YamlDocument } from './yamlFile.ts'

const MAX_BYTES = 1024 * 1024
const MAX_PATHS = 200

/** Runs the rules of each kind of infrastructure file on one commit. @throws what `openTree` does */
export async function checkInfrastructure(
  input: InfrastructureInput,
  { signal }: OperationContext<unknown>,
): Promise<InfrastructureReport> {
  const tree = await openTree(input, signal)
  const paths = tree.files.map(({ path }) => path)
  const charts = paths.filter((path) => baseName(path) === 'Chart.yaml').map(folderOf)
  const candidates = tree.files.filter((file) => !linguist().isVendored(file.path) || file.path.startsWith('.github/'))
  const wanted = candidates.filter((file) => kindOf(file.path, charts) !== undefined)
  const seen = emptySeen()
  for await (const { file, blob } of contentsOf(tree, wanted, MAX_BYTES)) {
    if (blob.kind !== 'loaded' || isBinary(blob.content)) continue
    checkFile(file, blob.content.toString('utf8'), kindOf(file.path, charts), seen)
  }
  const lockFolders = new Set(paths.filter((path) => baseName(path) === '.terraform.lock.hcl').map(folderOf))
  const terraform = checkTerraform(seen.terraform, lockFolders)
  const practices = practicesOf(paths)
  const findings = sortFindings([...seen.findings, ...terraform.findings, ...missingPractices(practices, paths)])
  return {
    commit: tree.commit,
    files: {
      ...limited(seen.paths),
      helmCharts: charts.sort(compareText).slice(0, MAX_PATHS),
      terraform: [...seen.terraform.keys()].slice(0, MAX_PATHS),
    },
    terraform: { modules: terraform.modules },
    practices,
    checked: seen.checked,
    unreadable: seen.unreadable,
    findings: findings.slice(0, input.limit),
    truncated: findings.length > input.limit,
  }
}

type Kind = 'dockerfiles' | 'compose' | 'workflows' | 'gitlabCi' | 'kubernetes' | 'terraform'

interface Seen {
  paths: Record<Exclude<Kind, 'terraform'>, string[]>
  terraform: Map<string, string>
  findings: Finding[]
  checked: number
  unreadable: number
}

function emptySeen(): Seen {
  const paths = { dockerfiles: [], compose: [], workflows: [], gitlabCi: [], kubernetes: [] }
  return { paths, terraform: new Map(), findings: [], checked: 0, unreadable: 0 }
}

/** What a file may be, by its path; that a YAML file is a Kubernetes manifest shows only in its content. */
function kindOf(path: string, charts: string[]): Kind | undefined {
  const name = baseName(path)
  if (
    /^(Dockerfile|Containerfile)(\.[\w.-]+)?$|\.(dockerfile|containerfile)$/i.test(name) &&
    !/\.(dockerignore|md|sh|ts|js|py)$/i.test(name)
  )
    return 'dockerfiles'
  if (/^\.github\/workflows\/[^/]+\.ya?ml$/.test(path)) return 'workflows'
  if (/^\.gitlab-ci\.ya?ml$/.test(name)) return 'gitlabCi'
  if (/^(docker-)?compose([._-][\w.-]+)?\.ya?ml$/.test(name)) return 'compose'
  if (/\.tf$/.test(name)) return 'terraform'
  if (!/\.ya?ml$/.test(name) || path.startsWith('.github/')) return undefined
  return charts.some((folder) => path.startsWith(folder === '' ? 'templates/' : `${folder}/templates/`)) ? undefined : 'kubernetes'
}

function checkFile({ path }: TreeEntry, text: string, kind: Kind | undefined, seen: Seen): void {
  if (kind === undefined || (kind === 'kubernetes' && !isManifest(text))) return
  seen.checked++
  if (kind === 'terraform') {
    seen.terraform.set(path, text)
    return
  }
  seen.paths[kind].push(path)
  if (kind === 'dockerfiles') seen.findings.push(...checkDockerfile(path, text))
  else seen.findings.push(...checkYaml(path, text, kind, seen))
}

function checkYaml(path: string, text: string, kind: Exclude<Kind, 'terraform' | 'dockerfiles'>, seen: Seen): Finding[] {
  let documents: YamlDocument[]
  try {
    documents = readYaml(text)
  } catch (error) {
    seen.unreadable++
    const reason = error instanceof Error ? error.message : String(error)
    return [
      {
        rule: 'infrastructure.unreadable',
        severity: 'medium',
        path,
        message: `The file does not parse: ${reason}.`,
        advice: 'Correct or remove it; what is not read is not checked.',
      },
    ]
  }
  const check = { workflows: checkWorkflow, gitlabCi: checkGitlabCi, compose: checkCompose, kubernetes: checkManifest }[kind]
  return documents.flatMap((document) => check(path, document))
}

function isManifest(text: string): boolean {
  return /^apiVersion:\s*\S/m.test(text) && /^kind:\s*\S/m.test(text) && !/^\s*\{\{/m.test(text)
}

const CI: [string, RegExp][] = [
  ['GitHub Actions', /^\.github\/workflows\/[^/]+\.ya?ml$/],
  ['GitLab CI', /^\.gitlab-ci\.ya?ml$/],
  ['CircleCI', /^\.circleci\/config\.ya?ml$/],
  ['Jenkins', /^Jenkinsfile$/],
  ['Travis CI', /^\.travis\.yml$/],
  ['Azure Pipelines', /^\.?azure-pipelines\.ya?ml$/],
  ['Buildkite', /^\.buildkite\//],
  ['Drone', /^\.drone\.ya?ml$/],
  ['Woodpecker', /^\.woodpecker(\.ya?ml$|\/)/],
  ['Bitbucket Pipelines', /^bitbucket-pipelines\.yml$/],
  ['AppVeyor', /^\.?appveyor\.yml$/],
  ['Cirrus CI', /^\.cirrus\.ya?ml$/],
  ['Forgejo Actions', /^\.(forgejo|gitea)\/workflows\//],
  ['Tekton', /^\.tekton\//],
]

function practicesOf(paths: string[]): InfrastructureReport['practices'] {
  const has = (pattern: RegExp) => paths.some((path) => pattern.test(path))
  const named = (list: [string, RegExp][]) => list.filter(([, pattern]) => has(pattern)).map(([name]) => name)
  return {
    ci: named(CI),
    dependencyUpdates: named([
      ['Dependabot', /^\.github\/dependabot\.ya?ml$/],
      ['Renovate', /^(\.github\/|\.gitlab\/)?(renovate\.json5?|\.renovaterc(\.json5?)?)$/],
    ]),
    editorConfig: has(/^\.editorconfig$/),
    preCommit: named([
      ['pre-commit', /^\.pre-commit-config\.ya?ml$/],
      ['husky', /^\.husky\//],
      ['lefthook', /^\.?lefthook\.(ya?ml|toml|json)$/],
    ]),
    dockerIgnore: has(/(^|\/)\.dockerignore$/),
    devContainer: has(/^\.devcontainer(\/|\.json$)/),
  }
}

function missingPractices(practices: InfrastructureReport['practices'], paths: string[]): Finding[] {
  if (paths.length === 0) return []
  const findings: Finding[] = []
  if (practices.ci.length === 0) {
    findings.push({
      rule: 'infrastructure.no-ci',
      severity: 'medium',
      path: '.github/workflows',
      message: 'No continuous integration is configured: nothing tests a change before it lands.',
      advice: 'Run the tests on every change.',
    })
  }
  const hasLock = paths.some((path) =>
    /(^|\/)(package-lock\.json|yarn\.lock|pnpm-lock\.yaml|Cargo\.lock|go\.sum|poetry\.lock|uv\.lock|Gemfile\.lock|composer\.lock)$/.test(
      path,
    ),
  )
  if (hasLock && practices.dependencyUpdates.length === 0) {
    findings.push({
      rule: 'infrastructure.no-dependency-updates',
      severity: 'low',
      path: '.github/dependabot.yml',
      message: 'Nothing proposes updates of dependencies.',
      advice: 'Turn on Dependabot or Renovate.',
    })
  }
  return findings
}

function limited<Name extends string>(paths: Record<Name, string[]>): Record<Name, string[]> {
  return Object.fromEntries(Object.entries<string[]>(paths).map(([name, list]) => [name, list.slice(0, MAX_PATHS)])) as Record<
    Name,
    string[]
  >
}
