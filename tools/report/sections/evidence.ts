import { time } from '../amounts.ts'
import type { Facts } from '../facts.ts'
import { html } from '../html.ts'
import type { Section } from '../parts.ts'

/** How anybody can check that this is what happened. */
export function evidence({ project, ledger, deliverables }: Facts): Section {
  const body = html`<p>Every decision and every call of this project is an entry in a hash-chained, signed ledger. Whoever has the file can verify it offline:</p>
<pre tabindex="0"><code>npx soma audit verify evidence.jsonl</code></pre>
<p>The file is saved beside this report; the server gives it at <code class="wrap">/v1/projects/${project.id}/evidence</code>.</p>
<dl class="facts">
<div><dt>Project</dt><dd><code class="wrap">${project.id}</code></dd></div>
<div><dt>Begun</dt><dd>${time(project.createdAt)}</dd></div>
<div><dt>Deliverables</dt><dd>${deliverables.length}</dd></div>
<div><dt>Head of the ledger</dt><dd>position ${ledger.position}<br><code class="wrap">${ledger.hash}</code></dd></div>
</dl>
<p class="quiet">The head is the one before this report was made; the report's own making follows it.</p>`
  return { id: 'evidence', title: 'Evidence', body }
}
