import type { DocumentationReport } from './documentationReport.ts'
import { compareText, type Finding } from './finding.ts'
import type { MarkdownFile, MarkdownLink } from './markdown.ts'
import { folderOf, type ScannedTree } from './tree.ts'

export type LinkReport = DocumentationReport['links'] & { findings: Finding[] }

const MAX_HOSTS = 100

/** Checks relative links and anchors against the tree, and counts the others by host. */
export function checkLinks(tree: ScannedTree, read: Map<string, MarkdownFile>, limit: number): LinkReport {
  const paths = existing(tree)
  const findings: Finding[] = []
  const hosts = new Map<string, number>()
  const external = new Map<string, { url: string; path: string; line: number }>()
  const report = { relative: 0, anchors: 0, broken: 0, external: 0, insecure: 0 }
  for (const [path, file] of read) {
    for (const link of file.links) {
      const url = externalUrl(link.url)
      if (url) {
        report.external++
        if (url.protocol === 'http:') report.insecure++
        hosts.set(url.host, (hosts.get(url.host) ?? 0) + 1)
        if (!external.has(link.url)) external.set(link.url, { url: link.url, path, line: link.line })
      } else if (isRelative(link.url)) {
        if (!link.url.startsWith('#')) report.relative++
        if (link.url.includes('#')) report.anchors++
        const problem = broken(path, file, link, paths, read)
        if (problem) findings.push(problem)
      }
    }
  }
  return {
    ...report,
    broken: findings.length,
    hosts: [...hosts]
      .map(([host, links]) => ({ host, links }))
      .sort((a, b) => b.links - a.links || compareText(a.host, b.host))
      .slice(0, MAX_HOSTS),
    externalLinks: [...external.values()].slice(0, limit),
    externalTruncated: external.size > limit,
    findings,
  }
}

/** All files and all folders. */
function existing(tree: ScannedTree): Set<string> {
  const paths = new Set<string>([''])
  for (const { path } of [...tree.files, ...tree.symlinks, ...tree.submodules]) {
    paths.add(path)
    for (let folder = folderOf(path); folder !== '' && !paths.has(folder); folder = folderOf(folder)) paths.add(folder)
  }
  return paths
}

function externalUrl(text: string): URL | undefined {
  const url = /^(https?:)?\/\//i.test(text) ? text.replace(/^\/\//, 'https://') : undefined
  return url !== undefined && URL.canParse(url) ? new URL(url) : undefined
}

/** Not mailto:, data: and the like, and no template that is filled in later. */
function isRelative(url: string): boolean {
  return url !== '' && !/^[a-z][a-z0-9+.-]*:|^\/\//i.test(url) && !/[{}]|<|%7B/i.test(url)
}

function broken(
  path: string,
  file: MarkdownFile,
  link: MarkdownLink,
  paths: Set<string>,
  read: Map<string, MarkdownFile>,
): Finding | undefined {
  const [before = '', anchor = ''] = link.url.split('#', 2)
  const relative = decoded(before.replace(/\?.*$/, ''))
  const target = relative === '' ? path : resolved(path, relative)
  const finding = (rule: string, message: string, advice: string): Finding => ({
    rule: `documentation.${rule}`,
    severity: link.image ? 'low' : 'medium',
    path,
    line: link.line,
    message,
    advice,
  })
  if (target === undefined) return undefined // leads out of the repository: to the forge's own pages, as ../../issues does
  if (!paths.has(target))
    return finding('broken-link', `"${link.url}" leads to "${target}", which is not there.`, 'Correct the path or remove the link.')
  const goal = target === path ? file : read.get(target)
  const isLine = /^L\d+/.test(anchor)
  if (anchor === '' || isLine || !goal || goal.anchors.has(decoded(anchor)) || goal.anchors.has(decoded(anchor).toLowerCase()))
    return undefined
  return finding(
    'broken-anchor',
    `"${link.url}": no heading of "${target}" gives "#${anchor}".`,
    'Correct the anchor to the present heading.',
  )
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a stray percent sign stands for itself
  }
}

/** @returns undefined when it leads above the top */
function resolved(from: string, relative: string): string | undefined {
  const parts = relative.startsWith('/') ? [] : folderOf(from).split('/').filter(Boolean)
  for (const part of relative.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (parts.pop() === undefined) return undefined
    } else parts.push(part)
  }
  return parts.join('/')
}
