/** Imports point one way: apps → services → kernel → ports → contracts; tools → contracts; sdk → contracts. */
const TEST = '\\.(test|crash)\\.ts$|/conformance\\.ts$|/testing\\.ts$'
const only = (name, from, allowed) => ({
  name,
  severity: 'error',
  comment: `${from} may import from itself and ${allowed.join(', ') || 'nothing else of this repository'}`,
  from: { path: `^${from}/` },
  to: { path: '^(apps|services|tools|packages|scripts|stack|test)/', pathNot: [`^${from}/`, ...allowed.map((path) => `^${path}(/|$)`)] },
})

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    only('contracts-stand-alone', 'packages/contracts', []),
    only('ports-know-contracts', 'packages/ports', ['packages/contracts']),
    only('kernel-knows-ports', 'packages/kernel', ['packages/contracts', 'packages/ports']),
    only('capsule-knows-contracts', 'packages/capsule', ['packages/contracts']),
    only('the-stack-stands-alone', 'stack', []),
    only('sdk-knows-contracts', 'packages/sdk', ['packages/contracts']),
    { ...only('tools-know-contracts', 'tools', ['packages/contracts']), from: { path: '^tools/', pathNot: TEST } },
    {
      ...only('tests-of-tools-know-the-real-guard', 'tools', ['packages/contracts', 'packages/kernel/egress']),
      from: { path: `^tools/.*(${TEST})` },
    },
    only('services-know-the-kernel', 'services', [
      'packages/contracts',
      'packages/ports',
      'packages/kernel',
      'packages/sdk',
      'packages/capsule',
    ]),
    {
      name: 'a-service-never-imports-another',
      severity: 'error',
      comment: 'Services talk through the typed client.',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'an-adapter-knows-only-its-vendor',
      severity: 'error',
      from: { path: '^tools/([^/]+)/' },
      to: { path: '^tools/[^/]+/', pathNot: ['^tools/$1/', '^tools/frame/'] },
    },
    {
      name: 'workflows-are-free-of-io',
      severity: 'error',
      from: { path: '\\.workflow\\.ts$' },
      to: { path: '^node:|^fs$|^pg$|^undici$|^packages/(ports|kernel)/', dependencyTypesNot: ['type-only'] },
    },
    { name: 'no-test-code-in-the-product', severity: 'error', from: { pathNot: `${TEST}|^test/` }, to: { path: TEST } },
    { name: 'nothing-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)node_modules/' },
    parser: 'swc',
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.tsx', '.js', '.mjs'],
    },
  },
}
