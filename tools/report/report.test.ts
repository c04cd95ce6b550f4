import { readFile } from 'node:fs/promises'
import type { OperationContext } from '@soma/contracts/operation'
import fc from 'fast-check'
import { fromMarkdown } from 'mdast-util-from-markdown'
import { gfmFromMarkdown } from 'mdast-util-gfm'
import { toString as textOf } from 'mdast-util-to-string'
import { gfm } from 'micromark-extension-gfm'
import { visit } from 'unist-util-visit'
import { describe, expect, test } from 'vitest'
import { bytes, count, counted, date, dollars, percent, seconds } from './amounts.ts'
import { commitColumns } from './charts/commitColumns.ts'
import { Facts } from './facts.ts'
import { html, markupOf, visibleText } from './html.ts'
import { markdown } from './markdown.ts'
import { page } from './page.ts'
import { render } from './render.ts'

const sample: Record<string, unknown> = JSON.parse(await readFile(new URL('sample-facts.json', import.meta.url), 'utf8'))
const pageOf = (facts: unknown) => markupOf(page(Facts.parse(facts)))
const deliverables = sample.deliverables as Record<string, unknown>[]

/** The tags of a page, without what their attributes hold. */
function skeleton(text: string): string[] {
  return (text.match(/<[^>]*>/g) ?? []).map((tag) => tag.replace(/="[^"]*"/g, '=""'))
}

/** What the report looks at to choose its own words or its layout, not to show it. */
const STRUCTURAL = new Set(['status', 'severity', 'verdict', 'week', 'id', 'deliverable', 'type', 'folder'])

function withText(value: unknown, textOf: (text: string) => string, key = ''): unknown {
  if (typeof value === 'string') return STRUCTURAL.has(key) ? value : textOf(value)
  if (Array.isArray(value)) return value.map((each) => withText(each, textOf, key))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withText(each, textOf, name)]))
}

const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '</title></style><!--',
  '\u202Egnp.exe\u2066',
  '${{ inputs }} `${x}` &lt;',
  'javascript:alert(1)',
  '\ud800 \u0000\u001b[31m',
  'url(http://evil.example/x)',
]

describe('the page', () => {
  const whole = pageOf(sample)

  test('shows every section, and needs nothing from elsewhere', () => {
    const titles = [...whole.matchAll(/<h2[^>]*>([^<]*)/g)].map(([, title]) => title)
    expect(titles).toEqual([
      'What to fix first',
      'Deliverables',
      'Inventory',
      'Activity',
      'Who knows what',
      'Dependencies and licences',
      'Secrets',
      'Documentation',
      'Infrastructure',
      'Governance and cost',
      'Evidence',
    ])
    expect(whole).not.toMatch(/<(script|link|img|iframe|object|embed|base|form)\b/i)
    expect(whole).not.toMatch(/\s(src|srcset|action|on[a-z]+)=/i)
    expect(whole).not.toMatch(/@import|url\(/i)
    for (const [, target] of whole.matchAll(/href="([^"]*)"/g)) {
      expect(target).toMatch(/^#/)
      expect(whole).toContain(` id="${target?.slice(1)}"`)
    }
    expect(skeleton(whole).filter((tag) => tag.startsWith('<section')).length).toBe(titles.length)
  })

  test('says what is blocked in the words of the constitution, and how to approve what waits', () => {
    expect(whole).toContain('Nothing that the project did not make itself may be destroyed')
    expect(whole).toContain('npx soma approve approval-publish')
    expect(whole).toContain('npx soma audit verify evidence.jsonl')
  })

  test('every element that is opened is closed', () => {
    const open: string[] = []
    for (const tag of skeleton(whole)) {
      const [, isEnd, name = ''] = /^<(\/?)([a-z0-9]+)/i.exec(tag) ?? []
      if (['meta', 'br', 'wbr', ''].includes(name)) continue
      if (isEnd) expect(open.pop()).toBe(name)
      else open.push(name)
    }
    expect(open).toEqual([])
  })

  test('every table has a caption, and every drawing a text', () => {
    expect(whole.match(/<table\b/g)?.length).toBe(whole.match(/<caption\b/g)?.length)
    for (const [, attributes] of whole.matchAll(/<svg([^>]*)>/g)) expect(attributes).toMatch(/role="img" aria-label="[^"]{10,}"/)
  })

  test.each(HOSTILE)('%j from a repository stays text, wherever it stands', (hostile) => {
    const text = pageOf(withText(sample, (was) => `${was}${hostile}`))
    const harmless = pageOf(withText(sample, (was) => `${was}${hostile.replace(/[^/]/g, 'x')}`))
    expect(skeleton(text)).toEqual(skeleton(harmless))
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u)
    expect(text.isWellFormed()).toBe(true)
  })

  test('whatever text a repository holds, the elements of the page are the same', () => {
    const anything = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll('/', ''))
    fc.assert(
      fc.property(anything, (text) => {
        expect(skeleton(pageOf(withText(sample, () => `a${text}`)))).toEqual(skeleton(pageOf(withText(sample, () => 'a'))))
      }),
      { numRuns: 60 },
    )
  })

  test('data that looks like markup made by the program is not taken for it', () => {
    expect(() => html`${{ html: '<b>', text: '<b>' } as unknown as string}`).toThrow()
    expect(markupOf(html`${['<b>', html`<i>${'&'}</i>`, undefined, false, 0]}`)).toBe('&lt;b&gt;<i>&amp;</i>0')
  })

  test('an empty repository, a project without deliverables and one in which all failed have a page', () => {
    const project = { id: 'p', name: 'repository-health' }
    expect(pageOf({ project, deliverables: [] })).toContain('The plan of this project has no such deliverable.')
    for (const status of ['failed', 'blocked', 'awaiting_approval', 'rejected', 'skipped', 'cancelled', 'planned']) {
      const none = deliverables.map(({ output: _, decision: __, ...rest }) => ({ ...rest, status, message: 'It did not go well.' }))
      const text = pageOf({ ...sample, deliverables: none })
      expect(text).toContain('It did not go well.')
      expect(text).toContain('Not made: ')
    }
    const odd = deliverables.map((each) => ({ ...each, output: { surprising: true } }))
    expect(pageOf({ ...sample, deliverables: odd })).toContain('not in a shape that this report knows')
  })

  test('large facts give a page of bounded size, soon', () => {
    const grown = (value: unknown): unknown => {
      if (Array.isArray(value)) {
        const items = value.map(grown)
        const [first] = items
        return first !== null && typeof first === 'object' && !Array.isArray(first) && !('week' in first)
          ? Array.from({ length: Math.max(items.length, 300) }, (_, index) => items[index % items.length])
          : items
      }
      if (value === null || typeof value !== 'object') return typeof value === 'string' && value.length > 30 ? value.repeat(40) : value
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, grown(each)]))
    }
    const large = { ...sample, deliverables: deliverables.map((each) => ({ ...each, output: grown(each.output) })) }
    const started = performance.now()
    const text = pageOf(large)
    expect(performance.now() - started).toBeLessThan(10_000)
    expect(text.length).toBeLessThan(2_000_000)
  })
})

test('report.render stores the page and a twin with the same facts, the same each time', async () => {
  const stored = new Map<string, string>()
  const objects = {
    async put(content: Uint8Array, mediaType: string) {
      stored.set(mediaType, new TextDecoder().decode(content))
      return { digest: `sha256:${'0'.repeat(64)}`, size: content.length, mediaType }
    },
    get: async () => new Uint8Array(),
  }
  const context = { objects } as unknown as OperationContext<unknown>
  await render.run(render.input.parse({ facts: sample }), context)
  const [first] = [...stored.values()]
  expect(JSON.parse(stored.get('application/json') ?? '')).toMatchObject(sample)
  await render.run(render.input.parse({ facts: sample }), context)
  expect([...stored.values()][0]).toBe(first)
  expect(render.input.safeParse({ facts: { deliverables: 'none' } }).success).toBe(false)
})

describe('HEALTH.md', () => {
  const summary = deliverables.find(({ id }) => id === 'summary')?.output
  const write = async (of: unknown) => (await markdown.run(markdown.input.parse({ summary: of }), {} as OperationContext<unknown>)).markdown

  test('names the grade, the areas and what to fix first with its places', async () => {
    const text = await write(summary)
    expect(text).toMatch(/^# Health of this repository\n\n\*\*Grade [A-F]\*\*, \d+ of 100\.\n/)
    expect(text).toContain('| secrets | ')
    expect(text).toMatch(/\n1\. \*\*Revoke and remove: .*\n {3}- `deploy\.env:1`\n/)
  })

  test('nothing in a repository becomes markup, a link, or breaks out of its line', async () => {
    const hostile = '[x](http://evil.example)\n# Big <img src=x> | `` ` @everyone me@evil.example ![](www.evil.example) \u202E'
    const text = await write(withText(summary, () => hostile))
    expect(text).not.toContain('\u202E')
    const tree = fromMarkdown(text, { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] })
    const kinds = new Set<string>()
    visit(tree, ({ type }) => {
      kinds.add(type)
    })
    const inline = ['inlineCode', 'strong', 'text']
    const blocks = ['heading', 'list', 'listItem', 'paragraph', 'root', 'table', 'tableCell', 'tableRow']
    expect([...kinds].sort()).toEqual([...blocks, ...inline].sort())
    expect(tree.children.filter(({ type }) => type === 'heading').length).toBe(2)
    expect(textOf(tree)).toContain('<img src=x> | `` ` @everyone me[at]evil.example ![](www[.]evil.example)')
  })

  test('without anything to fix it says so', async () => {
    expect(await write({ score: 0, grade: 'F', areas: [], notAssessed: [{ area: 'code', reason: 'Nothing.' }], fixes: [] })).toBe(
      '# Health of this repository\n\n**Grade F**, 0 of 100.\n\nNot assessed: code.\n\n## What to fix first\n\nNothing was found.\n',
    )
  })
})

describe('commits over time', () => {
  const labels = (weeks: { week: string; commits: number }[]) => {
    const text = markupOf(commitColumns(weeks))
    return [...text.matchAll(/<title>([^<]*)/g)].map(([, label]) => label)
  }

  test('are shown by week', () => {
    expect(
      labels([
        { week: '2026-01-05', commits: 2 },
        { week: '2026-01-19', commits: 1 },
      ]),
    ).toEqual(['week of 5 Jan 2026: 2 commits', 'week of 19 Jan 2026: 1 commit'])
  })

  test('and by month when there are more than two years, none lost', () => {
    const weeks = Array.from({ length: 300 }, (_, index) => ({
      week: new Date(Date.UTC(2020, 0, 6) + index * 7 * 86_400_000).toISOString().slice(0, 10),
      commits: 1,
    }))
    const shown = labels(weeks)
    expect(shown.length).toBeLessThan(80)
    expect(shown.reduce((sum, label) => sum + Number(/: (\d+) /.exec(label ?? '')?.[1]), 0)).toBe(300)
    expect(shown[0]).toBe('January 2020: 4 commits')
  })

  test('an empty history is said to be one', () => {
    expect(markupOf(commitColumns([]))).toContain('No commits to draw.')
  })
})

test('amounts are written for people', () => {
  expect([count(1234567), counted(1, 'file'), counted(2, 'box', 'boxes')]).toEqual(['1,234,567', '1 file', '2 boxes'])
  expect([0, 999, 1000, 1_440_000, 3e15].map(bytes)).toEqual(['0 bytes', '999 bytes', '1.0 kB', '1.4 MB', '3,000 TB'])
  expect([0, 0.0001, 0.004, 0.425, 1].map(percent)).toEqual(['0 %', '< 0.1 %', '0.4 %', '43 %', '100 %'])
  expect([0.44, 12, 185, 7200, 7800].map(seconds)).toEqual(['0.4 s', '12 s', '3 min 5 s', '2 h', '2 h 10 min'])
  expect([0, 1234, 2_500_000].map(dollars)).toEqual(['$0.00', '$0.0012', '$2.50'])
  expect([date('2026-11-03T23:59:00Z'), date(undefined), date('soon')]).toEqual(['3 Nov 2026', '', 'soon'])
  expect(visibleText('a\u202Eb\u200Bc', 10)).toBe('a[U+202E]b[U+200B]c')
})
