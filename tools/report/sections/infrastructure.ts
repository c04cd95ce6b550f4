import type { z } from 'zod'
import { count, counted } from '../amounts.ts'
import { type Facts, InfrastructureOutput, outputOf } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { figures, findings, notMade, path, type Section, table } from '../parts.ts'
import { check } from './documentation.ts'

const KINDS = [
  ['dockerfiles', 'Dockerfiles'],
  ['compose', 'Compose files'],
  ['workflows', 'GitHub workflows'],
  ['gitlabCi', 'GitLab CI files'],
  ['kubernetes', 'Kubernetes manifests'],
  ['helmCharts', 'Helm charts'],
  ['terraform', 'Terraform files'],
] as const

export function infrastructure(facts: Facts): Section {
  const output = outputOf(facts, 'infrastructure', InfrastructureOutput)
  return { id: 'infrastructure', title: 'Infrastructure', body: output ? shown(output) : notMade(facts, 'infrastructure') }
}

type Output = z.infer<typeof InfrastructureOutput>

function shown({ scan, terraform }: Output): Html {
  const { files, practices } = scan
  const present = KINDS.filter(([key]) => files[key].length > 0)
  const named = (list: string[]) => (list.length > 0 ? list.slice(0, 10).join(', ') : false)
  return html`${figures([
    ['Files checked', count(scan.checked)],
    ['Findings', count(scan.findings.length)],
    ...present.map(([key, name]): [string, string] => [name, count(files[key].length)]),
  ])}
<ul class="checks">
${check('Continuous integration', named(practices.ci))}
${check('Proposals for updates', named(practices.dependencyUpdates))}
${check('Pre-commit hooks', named(practices.preCommit))}
${check('Editor configuration', practices.editorConfig)}
${check('Development container', practices.devContainer)}
${files.dockerfiles.length > 0 && check('.dockerignore', practices.dockerIgnore)}
</ul>
${findings('Mistakes in infrastructure files', scan.findings)}
${
  terraform.length > 0 &&
  table(
    'Terraform modules',
    [
      { title: 'Module', cell: (module) => path(module.path) },
      { title: 'Valid', cell: ({ validation }) => validity(validation) },
      {
        title: 'What terraform says',
        prose: true,
        cell: ({ validation }) =>
          (validation?.diagnostics ?? [])
            .slice(0, 3)
            .map(({ summary, file, line }) => html`<div>${summary} ${file !== undefined && path(file, line)}</div>`),
      },
    ],
    terraform,
  )
}`
}

function validity(validation: Output['terraform'][number]['validation']): string {
  if (!validation) return 'not validated: terraform is not on this machine, or there is no work tree'
  if (!validation.valid) return `no: ${counted(validation.diagnostics.length, 'problem')}`
  return validation.complete ? 'yes' : 'as far as it can be told without its providers'
}
