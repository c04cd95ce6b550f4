import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The version of an installed library, for engines that run in this process and don't tell theirs. */
export async function packageVersion(name: string): Promise<string> {
  const [beforeName] = fileURLToPath(import.meta.resolve(name)).split(join('node_modules', name))
  const text = await readFile(join(beforeName as string, 'node_modules', name, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
