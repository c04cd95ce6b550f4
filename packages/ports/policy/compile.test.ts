import { expect, test } from 'vitest'
import { parseConstitution } from './check.ts'
import { compileConstitution, PolicyDocument } from './compile.ts'

const constitution = (name: string, id: string, body = 'applies: { actions: [tool.*] }\n    decide: deny') =>
  parseConstitution(`
apiVersion: soma.dev/v1
kind: Constitution
metadata: { name: ${name}, version: 1.0.0 }
rules:
  - id: ${id}
    says: A rule of ${name}.
    ${body}
`)

test('the same rules have the same digest; other rules another', () => {
  const [platform, tenant] = [constitution('platform', 'one'), constitution('acme', 'two')]
  const { version } = compileConstitution([platform, tenant])
  expect(version).toMatch(/^sha256:[0-9a-f]{64}$/)
  expect(compileConstitution([structuredClone(platform), tenant]).version).toBe(version)
  expect(compileConstitution([platform]).version).not.toBe(version)
})

test('two rules of one id are refused, and both owners named', () => {
  expect(() => compileConstitution([constitution('platform', 'one'), constitution('acme', 'one')])).toThrow(
    'Rule "one" of constitution "acme" has the id of a rule of "platform". Give it another.',
  )
})

test('a rule stands once under the widest of its patterns, for each effect', () => {
  const body = 'applies: { actions: [tool.git.log, tool.*, tool.git.*, http.x, tool.*], effects: [read, read] }\n    decide: allow'
  const { rules } = PolicyDocument.parse(compileConstitution([constitution('platform', 'one', body)]).document)
  expect(Object.entries(rules).map(([pattern, effects]) => [pattern, Object.keys(effects), effects.read?.always.length])).toEqual([
    ['tool.*', ['read'], 1],
    ['http.x', ['read'], 1],
  ])
})

test('the document says whether a rule looks at arguments', () => {
  const looking = 'applies: { actions: [tool.*] }\n    when: [{ fact: action.arguments.path, is: exists }]\n    decide: deny'
  expect(compileConstitution([constitution('platform', 'one')]).document.readsArguments).toBe(false)
  expect(compileConstitution([constitution('platform', 'one', looking)]).document.readsArguments).toBe(true)
})
