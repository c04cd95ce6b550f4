import { compareText, type Finding } from './finding.ts'
import type { InfrastructureReport } from './infrastructureReport.ts'
import { attributesOf, blocksOf, type HclBlock } from './terraformFiles.ts'
import { folderOf } from './tree.ts'

type TerraformModule = InfrastructureReport['terraform']['modules'][number]

/**
 * What each folder of Terraform files requires, and what it leaves open.
 * @param texts path → content
 * @param lockFolders folders that hold a .terraform.lock.hcl
 */
export function checkTerraform(texts: Map<string, string>, lockFolders: Set<string>): { modules: TerraformModule[]; findings: Finding[] } {
  const folders = new Map<string, { path: string; blocks: HclBlock[] }[]>()
  for (const [path, text] of texts) {
    const folder = folderOf(path)
    folders.set(folder, [...(folders.get(folder) ?? []), { path, blocks: blocksOf(text) }])
  }
  const modules = [...folders]
    .map(([folder, files]) => ({ module: moduleOf(folder, files, lockFolders), first: files[0]?.path ?? folder }))
    .sort((a, b) => compareText(a.module.path, b.module.path))
  return { modules: modules.map(({ module }) => module), findings: modules.flatMap(({ module, first }) => openEnds(module, first)) }
}

function moduleOf(folder: string, files: { blocks: HclBlock[] }[], lockFolders: Set<string>): TerraformModule {
  const blocks = files.flatMap((file) => file.blocks)
  const settings = blocks.filter(({ type }) => type === 'terraform')
  const providers = settings
    .flatMap(({ body }) => blocksOf(body))
    .filter(({ type }) => type === 'required_providers')
    .flatMap(({ body }) => [...attributesOf(body)])
    .map(([name, value]) => {
      // Before Terraform 0.13 the version stood where the object now stands.
      const version = attributesOf(value).get('version') ?? (/^[\s~<>=!\d.,]+$/.test(value) ? value.trim() : null)
      return { name, version, pinned: version !== null && /^=?\s*\d+(\.\d+)*$|~>/.test(version.trim()) }
    })
  return {
    path: folder === '' ? '.' : folder,
    files: files.length,
    resources: blocks.filter(({ type }) => type === 'resource').length,
    requiredVersion:
      settings.map(({ body }) => attributesOf(body).get('required_version')).find((version) => version !== undefined) ?? null,
    providers: providers.sort((a, b) => compareText(a.name, b.name)),
    lockFile: lockFolders.has(folder),
  }
}

function openEnds(module: TerraformModule, path: string): Finding[] {
  const findings: Finding[] = []
  if (module.resources > 0 && module.requiredVersion === null) {
    findings.push({
      rule: 'terraform.no-required-version',
      severity: 'low',
      path,
      message: `The module "${module.path}" works with any Terraform, tested or not.`,
      advice: 'Set required_version in a terraform block.',
    })
  }
  const open = module.providers.filter(({ pinned }) => !pinned).map(({ name }) => name)
  if (open.length > 0 && !module.lockFile) {
    findings.push({
      rule: 'terraform.unpinned-provider',
      severity: 'medium',
      path,
      message: `Providers without a bound version in "${module.path}": ${open.join(', ')}.`,
      advice: 'Give each a version as "~> 5.0", and commit .terraform.lock.hcl.',
    })
  }
  return findings
}
