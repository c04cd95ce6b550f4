import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { Encoding, encodeContent } from '../frame/content.ts'
import { followInWorkspace, within } from './confine.ts'
import { openFile } from './content.ts'
import { fileFacts, WorkspacePath } from './target.ts'

export const read = operation({
  name: 'files.read',
  summary: 'Read a file, or a part of it',
  input: z.object({
    path: WorkspacePath,
    offset: z.number().int().min(0).default(0).describe('Bytes to leave out at the beginning'),
    maxBytes: z
      .number()
      .int()
      .min(1)
      .max(16 * 1024 * 1024)
      .default(1024 * 1024)
      .describe('Give so many bytes at most'),
  }),
  output: z.object({
    path: z.string().describe('As asked for'),
    size: z.number().int().describe('Bytes that the whole file has'),
    content: z.string().describe('The content, or the part'),
    encoding: Encoding,
    truncated: z.boolean().describe('There is more after this part'),
  }),
  effect: 'read',
  capability: 'tool.files.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: ({ path }) => fileFacts(path),
  run: ({ path, offset, maxBytes }, { workspace }) =>
    within(followInWorkspace(workspace, path), path, async (place) => {
      const handle = await openFile(place, path)
      try {
        const { size } = await handle.stat()
        const buffer = Buffer.alloc(Math.max(0, Math.min(maxBytes, size - offset)))
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset)
        const truncated = offset + bytesRead < size
        return { path, size, ...encodeContent(buffer.subarray(0, bytesRead), truncated), truncated }
      } finally {
        await handle.close()
      }
    }),
})
