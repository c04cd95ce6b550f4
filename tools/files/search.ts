import { isUtf8 } from 'node:buffer'
import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { followInWorkspace, within } from './confine.ts'
import { openFile } from './content.ts'
import { walk } from './entries.ts'
import { fileFacts, WorkspacePath } from './target.ts'

const MAX_FILE = 4 * 1024 * 1024
const MAX_LINE = 400

const Match = z.object({
  path: z.string().describe('Relative to the workspace'),
  line: z.number().int().describe('From 1'),
  column: z.number().int().describe('From 1'),
  text: z.string().describe(`The line, ${MAX_LINE} characters at most`),
})
type Match = z.infer<typeof Match>

export const search = operation({
  name: 'files.search',
  summary: 'Find text in files',
  description: 'Looks for the text as it is, not for a pattern: a pattern from outside could keep the machine busy for hours.',
  input: z.object({
    text: z.string().min(1).max(1_000).describe('What to find, within one line'),
    path: WorkspacePath.default('.').describe('Folder to look in'),
    ignoreCase: z.boolean().default(false).describe('Let capital and small letters be the same'),
    extensions: z.array(z.string().min(1)).optional().describe('Only files whose name ends so: [".ts", ".md"]'),
    limit: z.number().int().min(1).max(2_000).default(200).describe('Give so many matches at most'),
  }),
  output: z.object({
    matches: z.array(Match).describe('By path and line; the first in each line'),
    more: z.boolean().describe('There are more than `limit`'),
    searched: z.number().int().describe('Files that were looked into'),
    skipped: z.number().int().describe(`Files that are binary, or larger than ${MAX_FILE} bytes`),
  }),
  effect: 'read',
  capability: 'tool.files.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: ({ path }) => fileFacts(path),
  async run(input, { workspace, signal }) {
    const found = { matches: [] as Match[], more: false, searched: 0, skipped: 0 }
    for await (const { path, kind, size } of walk(workspace, input.path)) {
      signal.throwIfAborted()
      if (kind !== 'file' || !(input.extensions?.some((extension) => path.endsWith(extension)) ?? true)) continue
      const content = size > MAX_FILE ? undefined : await readText(workspace, path)
      found[content === undefined ? 'skipped' : 'searched'] += 1
      for (const match of matchesIn(content ?? '', input)) {
        if (found.matches.length === input.limit) return { ...found, more: true }
        found.matches.push({ path, ...match })
      }
    }
    return found
  },
})

/** Undefined for a binary file, and for one that is gone or can not be read. */
async function readText(workspace: string, path: string): Promise<string | undefined> {
  try {
    return await within(followInWorkspace(workspace, path), path, async (place) => {
      const handle = await openFile(place, path)
      try {
        const bytes = await handle.readFile()
        return isUtf8(bytes) && !bytes.includes(0) ? bytes.toString('utf8') : undefined
      } finally {
        await handle.close()
      }
    })
  } catch (error) {
    if (SomaError.is(error, 'not_found') || SomaError.is(error, 'tool_failed')) return undefined
    throw error
  }
}

function* matchesIn(content: string, { text, ignoreCase }: { text: string; ignoreCase: boolean }): Generator<Omit<Match, 'path'>> {
  const fold = (value: string) => (ignoreCase ? value.toLowerCase() : value)
  const wanted = fold(text)
  if (!fold(content).includes(wanted)) return
  for (const [index, line] of content.split(/\r?\n/).entries()) {
    const at = fold(line).indexOf(wanted)
    if (at === -1) continue
    const from = Math.max(0, at + text.length - MAX_LINE)
    yield { line: index + 1, column: at + 1, text: line.slice(from, from + MAX_LINE) }
  }
}
