import GithubSlugger from 'github-slugger'
import { fromMarkdown } from 'mdast-util-from-markdown'
import { gfmFromMarkdown } from 'mdast-util-gfm'
import { toString as textOf } from 'mdast-util-to-string'
import { gfm } from 'micromark-extension-gfm'
import { visit } from 'unist-util-visit'

export interface MarkdownLink {
  url: string
  line: number
  image: boolean
}

export interface MarkdownFile {
  headings: { depth: number; text: string; line: number }[]
  /** Everything that `#…` can lead to: headings as GitHub names them, and ids in HTML. */
  anchors: Set<string>
  links: MarkdownLink[]
  images: { line: number; hasText: boolean }[]
  codeBlocks: number
  words: number
}

/** What a Markdown text links to and can be linked at; GitHub's dialect. */
export function readMarkdown(text: string): MarkdownFile {
  const body = text.replace(/^\uFEFF?---\r?\n[\s\S]*?\r?\n---\r?\n/, (front) => front.replace(/[^\n]/g, ''))
  const root = fromMarkdown(body, { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] })
  const slugger = new GithubSlugger()
  const file: MarkdownFile = { headings: [], anchors: new Set(), links: [], images: [], codeBlocks: 0, words: 0 }
  visit(root, (node) => {
    const line = node.position?.start.line ?? 1
    if (node.type === 'heading') {
      const heading = textOf(node)
      file.headings.push({ depth: node.depth, text: heading, line })
      file.anchors.add(slugger.slug(heading))
    } else if (node.type === 'link' || node.type === 'definition') file.links.push({ url: node.url, line, image: false })
    else if (node.type === 'image') {
      file.links.push({ url: node.url, line, image: true })
      file.images.push({ line, hasText: (node.alt ?? '').trim() !== '' })
    } else if (node.type === 'imageReference') file.images.push({ line, hasText: (node.alt ?? '').trim() !== '' })
    else if (node.type === 'code') file.codeBlocks++
    else if (node.type === 'html') readHtml(node.value, line, file)
    else if (node.type === 'text') file.words += node.value.match(/[\p{L}\p{N}]+/gu)?.length ?? 0
  })
  return file
}

/** The few elements that people write into Markdown. */
function readHtml(html: string, firstLine: number, file: MarkdownFile): void {
  for (const match of html.matchAll(/<(a|img|[a-z][a-z0-9]*)\b([^>]*)>/gi)) {
    const line = firstLine + (html.slice(0, match.index).match(/\n/g)?.length ?? 0)
    const [name, attributes] = [match[1]?.toLowerCase(), match[2] ?? '']
    const value = (attribute: string) =>
      new RegExp(`\\b${attribute}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s"'>]+))`, 'i')
        .exec(attributes)
        ?.slice(1)
        .find((one) => one !== undefined)
    const id = value('id') ?? (name === 'a' ? value('name') : undefined)
    if (id) file.anchors.add(id)
    const url = name === 'a' ? value('href') : name === 'img' ? value('src') : undefined
    if (url) file.links.push({ url, line, image: name === 'img' })
    if (name === 'img') file.images.push({ line, hasText: (value('alt') ?? '').trim() !== '' })
  }
}
