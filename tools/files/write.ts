import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { decodeContent, Encoding } from '../frame/content.ts'
import { entryInWorkspace, within } from './confine.ts'
import { assertNothingThere, createFile, digestIfThere, digestOf, replaceFile } from './content.ts'
import { fileFacts, WorkspacePath } from './target.ts'

const Written = z.object({
  path: z.string().describe('As asked for'),
  size: z.number().int().describe('Bytes written'),
  digest: z.string().describe('sha256: and 64 hex digits'),
})

export const write = operation({
  name: 'files.write',
  summary: 'Write a file, whole or not at all',
  input: z.object({
    path: WorkspacePath,
    content: z
      .string()
      .max(32 * 1024 * 1024)
      .describe('The whole content'),
    encoding: Encoding.default('utf8'),
    overwrite: z.boolean().default(true).describe('Replace the file when there is one'),
  }),
  output: Written,
  effect: 'write',
  capability: 'tool.files.write',
  idempotency: {
    kind: 'marker',
    async find({ path, content, encoding }, { workspace }) {
      const bytes = decodeContent({ content, encoding })
      const found = await digestIfThere(entryInWorkspace(workspace, path), path)
      return found === digestOf(bytes) ? { path, size: bytes.length, digest: found } : undefined
    },
  },
  reversedBy: 'files.delete',
  resource: ({ path, overwrite }) => fileFacts(path, { overwrite }),
  dryRun: ({ path, content, encoding, overwrite }, { workspace }) =>
    within(entryInWorkspace(workspace, path), path, async (place) => {
      if (!overwrite) await assertNothingThere(place)
      const bytes = decodeContent({ content, encoding })
      return { path, size: bytes.length, digest: digestOf(bytes) }
    }),
  run: ({ path, content, encoding, overwrite }, { workspace }) =>
    within(entryInWorkspace(workspace, path), path, async (place) => {
      const bytes = decodeContent({ content, encoding })
      await (overwrite ? replaceFile : createFile)(place, (handle) => handle.writeFile(bytes))
      return { path, size: bytes.length, digest: digestOf(bytes) }
    }),
})
