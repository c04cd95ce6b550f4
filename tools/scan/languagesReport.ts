import { z } from 'zod'
import { ScanInput, ScannedCommit } from './finding.ts'

export const LanguagesInput = ScanInput.extend({
  largest: z.number().int().min(0).max(100).default(10).describe('How many of the largest files to name'),
})
export type LanguagesInput = z.infer<typeof LanguagesInput>

const Amount = z.object({ files: z.number().int(), bytes: z.number().int() })

const Lines = z.object({
  lines: z.number().int().describe('All lines'),
  code: z.number().int().describe('Lines that hold code'),
  comment: z.number().int().describe('Lines that hold only comment'),
  blank: z.number().int().describe('Empty lines'),
})

export const LanguageShare = Lines.extend({
  name: z.string().describe("Linguist's name of the language"),
  type: z.enum(['programming', 'markup', 'data', 'prose']),
  color: z.string().nullable().describe("Linguist's colour, `#rrggbb`"),
  files: z.number().int(),
  bytes: z.number().int(),
  share: z.number().describe('Share of the bytes of programming and markup, 0 to 1, as GitHub shows it; 0 for data and prose'),
})
export type LanguageShare = z.infer<typeof LanguageShare>

export const LanguagesReport = z.object({
  commit: ScannedCommit,
  totals: Lines.extend({
    files: z.number().int().describe('Files in the tree, without submodules and symbolic links'),
    bytes: z.number().int(),
    symlinks: z.number().int(),
    submodules: z.number().int(),
  }).describe('Lines are those of the files counted under `languages`'),
  languages: z.array(LanguageShare).describe('By bytes, most first; without what `excluded` counts'),
  excluded: z.object({ generated: Amount, vendored: Amount, documentation: Amount }).describe('What linguist leaves out of its statistics'),
  unrecognised: Amount.describe('Text whose language is not known'),
  binary: Amount.extend({ share: z.number().describe('Share of all bytes, 0 to 1') }),
  tests: Amount.extend({
    lines: z.number().int(),
    share: z.number().describe('Share of the lines of programming languages, 0 to 1'),
  }).describe('Files that are tests by their path'),
  largest: z
    .array(z.object({ path: z.string(), bytes: z.number().int(), binary: z.boolean(), language: z.string().nullable() }))
    .describe('Largest files, largest first'),
  unread: Amount.describe('Files too large to count the lines of; they count in files and bytes only'),
})
export type LanguagesReport = z.infer<typeof LanguagesReport>
