import type { Command } from 'commander'

export declare const COMMANDS: readonly { name: string; group: string; summary: string }[]
export declare function createProgram(): Command
export declare function readVersion(): string
export declare function isAboutItself(words: readonly string[]): boolean
