/** What `soma capsule init` writes: a capsule that holds, with a test that passes. */
export function capsuleTemplate(name: string): string {
  return `apiVersion: soma.dev/v1
kind: Capsule
metadata:
  name: ${name}
  version: 0.1.0
  summary: Says what a git repository is
# What it asks for: JSON Schema.
inputs:
  type: object
  additionalProperties: false
  required: [repository]
  properties:
    repository: { type: string, description: Absolute path of a git repository }
# What it may call: nothing more is granted when it runs.
permissions:
  tools: [git.inspect]
budget: { calls: 5, seconds: 60 }
# Steps run as soon as what they name is there. Expressions are CEL.
steps:
  - id: inspect
    tool: git.inspect
    with: { repository: "\${{ inputs.repository }}" }
  - id: text
    value: "\${{ steps.inspect.empty ? 'nothing yet' : string(int(steps.inspect.commits)) + ' commits' }}"
outputs:
  value: { commits: "\${{ steps.inspect.commits }}", text: "\${{ steps.text }}" }
# Run by "soma capsule test", from what is recorded: nothing outside is touched.
tests:
  - name: a repository with three commits
    inputs: { repository: /srv/app }
    recorded: { inspect: { empty: false, commits: 3 } }
    expect: { commits: 3, text: 3 commits }
`
}
