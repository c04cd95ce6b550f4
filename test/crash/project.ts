import type { Plan } from '@soma/contracts/project'

/** Ten calls: four that a look can find again, three to a vendor with keys, three that only read. */
export const CAPSULE = `
apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: crash_work, version: 1.0.0, summary: Does things that must be done once }
inputs: { type: object, properties: { name: { type: string } }, required: [name] }
permissions: { tools: [world.*] }
steps:
  - { id: looked, tool: world.look, with: { item: "\${{ inputs.name }}" } }
  - { id: made, map: "\${{ ['a', 'b', 'c', 'd'] }}", tool: world.make, with: { item: "\${{ inputs.name + item }}", milliseconds: 20 }, needs: [looked] }
  - { id: sent, map: "\${{ ['x', 'y', 'z'] }}", tool: world.send, with: { item: "\${{ inputs.name + item }}", milliseconds: 20 }, concurrency: 1, needs: [looked] }
  - { id: checked, map: "\${{ ['1', '2'] }}", tool: world.look, with: { item: "\${{ inputs.name + item }}" }, needs: [made, sent] }
outputs: { value: { made: "\${{ size(steps.made) }}", sent: "\${{ size(steps.sent) }}", checked: "\${{ steps.checked }}" } }
`

const deliverable = (id: string, dependencies: string[]): Plan['deliverables'][number] => ({
  id,
  title: id,
  persona: 'worker.v1',
  tools: ['world.*'],
  budget_tokens: 0,
  budget: {},
  dependencies,
  tolerates_missing: false,
  capsule: 'crash_work@1.0.0',
  inputs: { name: id },
  effect: 'read',
  resource: {},
  acceptance: 'output.made == 4 && output.sent == 3',
})

/** Two waves of two. */
export const PLAN: Plan = {
  apiVersion: 'soma.dev/v1',
  kind: 'Plan',
  metadata: { name: 'crash', summary: 'Things that must be done once' },
  inputs: {},
  budget: {},
  deliverables: [deliverable('one', []), deliverable('two', []), deliverable('three', ['one', 'two']), deliverable('four', ['one'])],
}

/** What one project does when nothing goes wrong. */
export const EXPECTED = { make: 16, send: 12, calls: 40 }
