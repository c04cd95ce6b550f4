import type { z } from 'zod'
import { count } from '../amounts.ts'
import { DocumentationOutput, type Facts, outputOf } from '../facts.ts'
import { type Html, html, type Part } from '../html.ts'
import { figures, findings, notMade, path, type Section } from '../parts.ts'

const DOCUMENTS = [
  ['licence', 'Licence'],
  ['contributing', 'Guide for contributors'],
  ['security', 'Security policy'],
  ['changelog', 'Changelog'],
  ['codeOfConduct', 'Code of conduct'],
  ['codeOwners', 'Code owners'],
  ['pullRequestTemplate', 'Pull request template'],
] as const

export function documentation(facts: Facts): Section {
  const output = outputOf(facts, 'documentation', DocumentationOutput)
  return { id: 'documentation', title: 'Documentation', short: 'Docs', body: output ? shown(output) : notMade(facts, 'documentation') }
}

function shown({ readme, community, docs, links, images, findings: found }: z.infer<typeof DocumentationOutput>): Html {
  return html`${figures([
    ['Words in the README', readme ? count(readme.words) : 'no README'],
    ['Markdown files', count(docs.markdownFiles)],
    ['Broken links', html`${count(links.broken)} <small>of ${count(links.relative + links.anchors)}</small>`],
    ['External links', html`${count(links.external)} <small>not fetched</small>`],
    ['Images without text', html`${count(images.withoutAlt)} <small>of ${count(images.total)}</small>`],
  ])}
<ul class="checks">
${
  readme
    ? [
        check('README', path(readme.path)),
        check('README tells how to install', readme.hasInstall),
        check('README shows how it is used', readme.hasUsage),
      ]
    : check('README', false)
}
${DOCUMENTS.map(([key, name]) => check(name, community[key] === null ? false : path(community[key])))}
</ul>
${findings('Missing documents, broken links, images without text', found)}`
}

export function check(name: string, found: boolean | Part): Html {
  const isThere = found !== false
  return html`<li class="${isThere ? 'there' : 'missing'}"><span class="hidden">${isThere ? 'Yes: ' : 'No: '}</span>${name}${typeof found !== 'boolean' && html` <small>${found}</small>`}</li>`
}
