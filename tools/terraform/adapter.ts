import { SomaError } from '@soma/contracts/errors'
import { adapter } from '@soma/contracts/operation'
import { runProcess } from '../frame/process.ts'
import { fmt, validate } from './configuration.ts'

export const terraformAdapter = adapter({
  name: 'terraform',
  title: 'Terraform',
  summary: 'Check Terraform configurations, without fetching or changing anything',
  operations: [validate, fmt],
  connect: installedTerraform,
  health: () =>
    installedTerraform().then(
      ({ version }) => ({ ok: true, detail: `terraform ${version}` }),
      (error: Error) => ({ ok: false, detail: error.message }),
    ),
})

async function installedTerraform(): Promise<{ version: string }> {
  const result = await runProcess('terraform', ['version', '-json'], { env: { CHECKPOINT_DISABLE: '1' } })
  const [, version] = /"terraform_version":\s*"([^"]+)"/.exec(result.stdout.toString('utf8')) ?? []
  if (version === undefined)
    throw new SomaError('tool_unavailable', 'The program "terraform" does not say its version. Install Terraform 1.4 or newer.')
  return { version }
}
