import { readFileSync } from 'node:fs'
import { date } from './amounts.ts'
import { type Facts, InventoryOutput, outputOf } from './facts.ts'
import { type Html, html, literal } from './html.ts'
import { statusName } from './parts.ts'
import { activity } from './sections/activity.ts'
import { deliverables } from './sections/deliverables.ts'
import { dependencies } from './sections/dependencies.ts'
import { documentation } from './sections/documentation.ts'
import { evidence } from './sections/evidence.ts'
import { governance } from './sections/governance.ts'
import { headline } from './sections/headline.ts'
import { infrastructure } from './sections/infrastructure.ts'
import { inventory } from './sections/inventory.ts'
import { ownership } from './sections/ownership.ts'
import { secrets } from './sections/secrets.ts'

const SECTIONS = [
  headline,
  deliverables,
  inventory,
  activity,
  ownership,
  dependencies,
  secrets,
  documentation,
  infrastructure,
  governance,
  evidence,
]
const STYLE = literal(readFileSync(new URL('page.css', import.meta.url), 'utf8'))

/** The report as one page that loads nothing: no script, no font, no image from elsewhere. */
export function page(facts: Facts): Html {
  const sections = SECTIONS.map((section) => section(facts))
  const name = repositoryName(facts)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${name}: repository health</title>
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Go to the report</a>
<header class="masthead"><div class="wide">
<p class="kicker">Repository health</p>
<h1>${name}</h1>
${source(facts)}
<ul class="tally">${tally(facts)}</ul>
</div></header>
<nav aria-label="Sections"><div class="wide links">${sections.map(({ id, title, short }) => html`<a href="#${id}">${short ?? title}</a>`)}</div></nav>
<main id="main" class="wide">
${sections.map(({ id, title, body }) => html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>${body}</section>\n`)}
</main>
<footer class="wide"><p>Made by SomaAgent from project <code class="wrap">${facts.project.id}</code>. Everything shown here is also in the JSON twin.</p></footer>
</body>
</html>
`
}

function repositoryName({ project }: Facts): string {
  const path = project.inputs.repository
  const name = typeof path === 'string' ? path.split(/[\\/]/).filter(Boolean).at(-1) : undefined
  return name ?? project.name
}

function source(facts: Facts): Html {
  const repository = outputOf(facts, 'inventory', InventoryOutput)?.repository
  const at = facts.project.inputs.repository
  return html`<p class="source">${typeof at === 'string' && html`<code class="wrap">${at}</code>`}${repository?.branch !== undefined && html` <span>branch ${repository.branch}</span>`}${repository?.head !== undefined && html` <span>commit <code>${repository.head.slice(0, 10)}</code></span>`}${facts.project.createdAt !== undefined && html` <span>${date(facts.project.createdAt)}</span>`}</p>`
}

function tally({ deliverables: all }: Facts): Html[] {
  const statuses = [...new Set(all.map(({ status }) => status))]
  return statuses.map((status) => html`<li><b>${all.filter((each) => each.status === status).length}</b> ${statusName(status)}</li>`)
}
