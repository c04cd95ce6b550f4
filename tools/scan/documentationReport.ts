import { z } from 'zod'
import { Finding, ScanInput, ScannedCommit } from './finding.ts'

export const DocumentationInput = ScanInput.extend({
  limit: z.number().int().min(1).max(5_000).default(1_000).describe('How many findings, and how many external links, to list'),
  maxFiles: z.number().int().min(1).max(50_000).default(5_000).describe('How many Markdown files to read'),
})
export type DocumentationInput = z.infer<typeof DocumentationInput>

const Present = z.string().nullable().describe('Path; null when there is none')

export const DocumentationReport = z.object({
  commit: ScannedCommit,
  readme: z
    .object({
      path: z.string(),
      words: z.number().int(),
      title: z.string().nullable(),
      sections: z.array(z.string()).describe('Headings of level 2, in order; at most 50'),
      codeBlocks: z.number().int(),
      images: z.number().int(),
      hasInstall: z.boolean().describe('Says how to install or get started'),
      hasUsage: z.boolean().describe('Shows how it is used'),
      hasLicence: z.boolean(),
      hasContributing: z.boolean(),
    })
    .nullable(),
  community: z.object({
    licence: Present,
    contributing: Present,
    security: Present,
    changelog: Present,
    codeOfConduct: Present,
    support: Present,
    codeOwners: Present,
    issueTemplates: z.number().int(),
    pullRequestTemplate: Present,
  }),
  docs: z.object({
    folder: Present,
    markdownFiles: z.number().int(),
    words: z.number().int(),
    read: z.number().int().describe('Markdown files whose links were checked'),
  }),
  links: z.object({
    relative: z.number().int(),
    anchors: z.number().int().describe('Links to a heading, in the same file or another'),
    broken: z.number().int(),
    external: z.number().int(),
    hosts: z.array(z.object({ host: z.string(), links: z.number().int() })).describe('Most linked first; at most 100'),
    insecure: z.number().int().describe('External links by http://'),
    externalLinks: z
      .array(z.object({ url: z.string(), path: z.string(), line: z.number().int() }))
      .describe('Each address once, where it first stands; not fetched; at most `limit`'),
    externalTruncated: z.boolean(),
  }),
  images: z.object({ total: z.number().int(), withoutAlt: z.number().int() }),
  findings: z.array(Finding).describe('Missing files, broken links and images without text; at most `limit`'),
  truncated: z.boolean(),
})
export type DocumentationReport = z.infer<typeof DocumentationReport>
