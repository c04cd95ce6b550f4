#!/usr/bin/env node
import { createProgram, isAboutItself } from '../program.mjs'

const words = process.argv.slice(2)
if (isAboutItself(words)) createProgram().parse(words.length === 0 ? ['--help'] : words, { from: 'user' })
else {
  // Loaded for what needs TypeScript only: it takes longer than --help as a whole. The settings of the folder we are called in are not ours.
  const { register } = await import('tsx/esm/api')
  register({ tsconfig: false })
  const { main } = await import('../main.ts')
  process.exitCode = await main(words)
}
