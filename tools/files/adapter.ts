import { adapter } from '@soma/contracts/operation'
import { copy, mkdir, move, remove } from './change.ts'
import { list, stat } from './entries.ts'
import { read } from './read.ts'
import { search } from './search.ts'
import { write } from './write.ts'

export const filesAdapter = adapter({
  name: 'files',
  title: 'Files',
  summary: "Read and write files in the run's own workspace",
  operations: [read, write, list, stat, search, move, copy, remove, mkdir],
  connect: async () => ({}),
  health: async () => ({ ok: true, detail: "files of the run's workspace" }),
})
