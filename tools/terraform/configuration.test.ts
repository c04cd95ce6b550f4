import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { contextFor, temporaryFolder } from '../frame/testing.ts'
import { terraformAdapter } from './adapter.ts'
import { fmt, validate } from './configuration.ts'

const context = contextFor('/')
const check = (folder: string) => validate.run(validate.input.parse({ folder }), context)
const format = (folder: string) => fmt.run(fmt.input.parse({ folder }), context)
const { ok: isInstalled } = await terraformAdapter.health()

async function folderWith(files: Record<string, string>): Promise<string> {
  const folder = await temporaryFolder()
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  return folder
}

/** Runs with a PATH on which nothing is found. */
async function withoutPrograms<T>(act: () => Promise<T>): Promise<T> {
  const path = process.env.PATH
  process.env.PATH = '/nowhere'
  try {
    return await act()
  } finally {
    process.env.PATH = path
  }
}

it('says what to install where terraform is missing', async () => {
  const folder = await folderWith({ 'main.tf': '' })
  await withoutPrograms(async () => {
    const missing = { code: 'tool_unavailable', message: expect.stringContaining('Install terraform') }
    await expect(check(folder)).rejects.toMatchObject(missing)
    await expect(terraformAdapter.connect()).rejects.toMatchObject(missing)
    expect(await terraformAdapter.health()).toEqual({ ok: false, detail: expect.stringContaining('Install terraform') })
  })
})

it('asks for a folder that holds a configuration', async () => {
  await expect(check(await temporaryFolder())).rejects.toMatchObject({ code: 'invalid_input' })
  await expect(check('/no/such/folder')).rejects.toMatchObject({ code: 'invalid_input' })
  expect(validate.input.safeParse({ folder: 'relative' }).success).toBe(false)
})

describe.runIf(isInstalled)('with terraform', () => {
  it('accepts a sound configuration with a module of its own, and leaves no trace in the folder', async () => {
    const folder = await folderWith({
      'main.tf': 'module "inner" {\n  source = "./inner"\n}\n',
      'inner/out.tf': 'output "x" {\n  value = 1\n}\n',
    })
    expect(await check(folder)).toEqual({ valid: true, complete: true, diagnostics: [] })
    expect(await format(folder)).toEqual({ formatted: true, files: [] })
    expect((await readdir(folder)).sort()).toEqual(['inner', 'main.tf'])
  })

  it('names the file and line of an error', async () => {
    const folder = await folderWith({ 'main.tf': 'output "x" {\n  value = var.missing\n}\n' })
    expect(await check(folder)).toMatchObject({
      valid: false,
      complete: true,
      diagnostics: [{ severity: 'error', summary: 'Reference to undeclared input variable', file: 'main.tf', line: 2 }],
    })
  })

  it('names what does not parse', async () => {
    const folder = await folderWith({ 'main.tf': 'resource "a" {\n' })
    const found = await check(folder)
    expect(found.valid).toBe(false)
    expect(found.diagnostics[0]).toMatchObject({ severity: 'error', line: 1 })
    expect(await format(folder)).toMatchObject({ formatted: false, problem: expect.stringContaining('Unclosed configuration block') })
  })

  it.each([
    [
      'a provider',
      'terraform {\n  required_providers {\n    aws = {\n      source = "hashicorp/aws"\n    }\n  }\n}\nresource "aws_s3_bucket" "x" {\n}\n',
    ],
    ['a module from the registry', 'module "vpc" {\n  source = "terraform-aws-modules/vpc/aws"\n}\n'],
    ['a module from git', 'module "x" {\n  source = "git::https://example.org/x.git"\n}\n'],
  ])('fetches nothing, and says that it could not look at %s', async (_, content) => {
    const found = await check(await folderWith({ 'main.tf': content }))
    expect(found).toMatchObject({ valid: true, complete: false, diagnostics: [] })
    expect(found.missing?.length).toBeGreaterThan(10)
  })

  it('names the files that are not in canonical format, and does not rewrite them', async () => {
    const folder = await folderWith({ 'main.tf': 'locals {\n a=1\n}\n', 'sub/x.tf': 'locals {\n  a = 1\n}\n' })
    expect(await format(folder)).toEqual({ formatted: false, files: ['main.tf'] })
    expect(await format(folder)).toEqual({ formatted: false, files: ['main.tf'] })
  })
})
