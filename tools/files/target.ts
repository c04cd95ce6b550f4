import { z } from 'zod'

export const WorkspacePath = z
  .string()
  .min(1)
  .max(4_096)
  .describe("Path relative to the run's workspace, with /. Bytes that are not UTF-8: \\xHH")

export const Kind = z.enum(['file', 'folder', 'symlink', 'other']).describe('What it is')
export type Kind = z.infer<typeof Kind>

/** Facts for policy. Every operation is confined to the workspace, so it is known. */
export function fileFacts(path: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'file', path, inside_workspace: true, ...more }
}

export function kindOf(entry: { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean }): Kind {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'folder'
  return entry.isSymbolicLink() ? 'symlink' : 'other'
}
