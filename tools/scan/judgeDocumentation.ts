import type { OperationContext } from '@soma/contracts/operation'
import { checkLinks, type LinkReport } from './documentationLinks.ts'
import type { DocumentationInput, DocumentationReport } from './documentationReport.ts'
import { type Finding, sortFindings } from './finding.ts'
import { linguist } from './linguist.ts'
import { type MarkdownFile, readMarkdown } from './markdown.ts'
import { contentsOf, isBinary, openTree, type ScannedTree } from './tree.ts'

/** The parser takes seconds for a megabyte. */
const MAX_BYTES = 256 * 1024

/** Reads the Markdown files of one commit. @throws what `openTree` does */
export async function judgeDocumentation(
  input: DocumentationInput,
  { signal, progress }: OperationContext<unknown>,
): Promise<DocumentationReport> {
  const tree = await openTree(input, signal)
  const paths = tree.files.map(({ path }) => path)
  const markdown = tree.files.filter(({ path }) => /\.(md|markdown|mdown|mkdn?)$/i.test(path) && !linguist().isVendored(path))
  const read = new Map<string, MarkdownFile>()
  for await (const { file, blob } of contentsOf(tree, markdown.slice(0, input.maxFiles), MAX_BYTES)) {
    if (blob.kind === 'loaded' && !isBinary(blob.content)) read.set(file.path, readMarkdown(blob.content.toString('utf8')))
    if (read.size % 500 === 0) progress(`${read.size} of ${markdown.length} Markdown files`, read.size / markdown.length)
  }
  const community = communityOf(paths)
  const readmePath = firstOf(paths, /^(docs\/|\.github\/)?readme(\.[a-z]+)?$/i)
  const readme = await readmeOf(tree, readmePath, read)
  const links = checkLinks(tree, read, input.limit)
  const images = [...read].flatMap(([path, file]) => file.images.map((image) => ({ ...image, path })))
  const findings = sortFindings([...missing(tree, readmePath, readme, community), ...links.findings, ...imagesWithoutText(images)])
  return {
    commit: tree.commit,
    readme,
    community,
    docs: {
      folder: docsFolder(paths),
      markdownFiles: markdown.length,
      words: [...read.values()].reduce((sum, { words }) => sum + words, 0),
      read: read.size,
    },
    links: withoutFindings(links),
    images: { total: images.length, withoutAlt: images.filter(({ hasText }) => !hasText).length },
    findings: findings.slice(0, input.limit),
    truncated: findings.length > input.limit,
  }
}

type Community = DocumentationReport['community']
type Readme = NonNullable<DocumentationReport['readme']>

function withoutFindings({ findings: _, ...links }: LinkReport): DocumentationReport['links'] {
  return links
}

/** The one nearest to the top, and of those the shortest. */
function firstOf(paths: string[], pattern: RegExp): string | null {
  const found = paths.filter((path) => pattern.test(path))
  return found.sort((a, b) => a.split('/').length - b.split('/').length || a.length - b.length)[0] ?? null
}

function communityOf(paths: string[]): Community {
  const at = (name: string) => firstOf(paths, new RegExp(`^(docs/|\\.github/|\\.gitlab/)?${name}$`, 'i'))
  const text = '(\\.(md|markdown|rst|txt|adoc))?'
  return {
    licence: firstOf(paths, /^(un)?(licen[cs]e|copying)([-._][^/]*)?$|^LICENSES\/[^/]+$/i),
    contributing: at(`contributing${text}`),
    security: at(`security${text}`),
    changelog: at(`(changelog|changes|history|news|releases?)${text}`) ?? firstOf(paths, /^\.changeset\/config\.json$/),
    codeOfConduct: at(`(code[-_]of[-_])?conduct${text}`),
    support: at(`support${text}`),
    codeOwners: at('codeowners'),
    issueTemplates: paths.filter((path) => /^\.(github|gitlab)\/issue_templates?\/[^/]+\.(md|ya?ml)$/i.test(path)).length,
    pullRequestTemplate: firstOf(
      paths,
      /^(docs\/|\.github\/)?pull_request_template(\/[^/]+)?(\.md)?$|^\.gitlab\/merge_request_templates\/[^/]+$/i,
    ),
  }
}

function docsFolder(paths: string[]): string | null {
  const match = paths.map((path) => /^(docs?|documentation|website|book)\//i.exec(path)?.[1]).find((folder) => folder !== undefined)
  return match ?? null
}

async function readmeOf(tree: ScannedTree, path: string | null, read: Map<string, MarkdownFile>): Promise<Readme | null> {
  if (path === null) return null
  const file = read.get(path) ?? (await readPlain(tree, path))
  const titles = file.headings.map(({ text }) => text)
  const says = (pattern: RegExp) => titles.some((title) => pattern.test(title))
  return {
    path,
    words: file.words,
    title: file.headings.find(({ depth }) => depth === 1)?.text ?? null,
    sections: file.headings
      .filter(({ depth }) => depth === 2)
      .map(({ text }) => text.slice(0, 200))
      .slice(0, 50),
    codeBlocks: file.codeBlocks,
    images: file.images.length,
    hasInstall: says(/install|set ?up|getting started|get going|quick ?start|requirements|build/i),
    hasUsage: says(/usage|how to|using|example|quick ?start|getting started|commands|api|tutorial|demo/i),
    hasLicence: says(/licen[cs]e|copying/i) || file.links.some(({ url }) => /licen[cs]e|copying/i.test(url)),
    hasContributing: says(/contribut|develop|hacking/i) || file.links.some(({ url }) => /contributing/i.test(url)),
  }
}

/** A README of another markup: its words, and its underlined or marked lines as headings. */
async function readPlain(tree: ScannedTree, path: string): Promise<MarkdownFile> {
  const files = tree.files.filter((file) => file.path === path)
  for await (const { blob } of contentsOf(tree, files, MAX_BYTES)) {
    if (blob.kind !== 'loaded' || isBinary(blob.content)) break
    const text = blob.content.toString('utf8')
    const marked = text.replace(/^(=+)(?= \S)/gm, (marks) => '#'.repeat(marks.length)) // AsciiDoc's headings
    return readMarkdown(marked)
  }
  return readMarkdown('')
}

function missing(tree: ScannedTree, readmePath: string | null, readme: Readme | null, community: Community): Finding[] {
  if (tree.commit === null) return []
  const absent = (rule: string, severity: Finding['severity'], path: string, message: string, advice: string): Finding => ({
    rule: `documentation.${rule}`,
    severity,
    path,
    message,
    advice,
  })
  const findings: Finding[] = []
  if (readmePath === null)
    findings.push(absent('no-readme', 'high', 'README.md', 'There is no README.', 'Say what it is, how to install and how to use it.'))
  if (readme) findings.push(...weakReadme(readme))
  if (community.licence === null)
    findings.push(
      absent(
        'no-licence',
        'high',
        'LICENSE',
        'There is no licence file: nobody may use the work.',
        'Add the text of the licence as LICENSE.',
      ),
    )
  if (community.contributing === null)
    findings.push(
      absent(
        'no-contributing',
        'low',
        'CONTRIBUTING.md',
        'There is no guide for contributors.',
        'Say how to build, test and propose a change.',
      ),
    )
  if (community.security === null)
    findings.push(
      absent(
        'no-security',
        'medium',
        'SECURITY.md',
        'Nothing says how to report a vulnerability.',
        'Add SECURITY.md with a private way to reach you.',
      ),
    )
  if (community.changelog === null)
    findings.push(
      absent('no-changelog', 'low', 'CHANGELOG.md', 'There is no changelog.', 'Write down what changes for users with each release.'),
    )
  if (community.codeOfConduct === null)
    findings.push(
      absent('no-code-of-conduct', 'info', 'CODE_OF_CONDUCT.md', 'There is no code of conduct.', 'Add one if others take part.'),
    )
  return findings
}

function weakReadme(readme: Readme): Finding[] {
  const weak = (rule: string, severity: Finding['severity'], message: string, advice: string): Finding => ({
    rule: `documentation.readme-${rule}`,
    severity,
    path: readme.path,
    message,
    advice,
  })
  const findings: Finding[] = []
  if (readme.words < 60)
    findings.push(weak('short', 'medium', `The README has ${readme.words} words.`, 'Say what it is for, how to install and how to use it.'))
  if (!readme.hasInstall)
    findings.push(weak('install', 'medium', 'No section of the README says how to install or get started.', 'Add one with the commands.'))
  if (!readme.hasUsage)
    findings.push(weak('usage', 'low', 'No section of the README shows how it is used.', 'Add an example that can be copied.'))
  if (!readme.hasLicence) findings.push(weak('licence', 'info', 'The README does not name the licence.', 'Name it and link to the file.'))
  return findings
}

function imagesWithoutText(images: { path: string; line: number; hasText: boolean }[]): Finding[] {
  return images
    .filter(({ hasText }) => !hasText)
    .map(({ path, line }) => ({
      rule: 'documentation.image-without-text',
      severity: 'info' as const,
      path,
      line,
      message: 'The image has no alternative text: it says nothing to a screen reader.',
      advice: 'Describe what it shows.',
    }))
}
