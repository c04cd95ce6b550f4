import { SomaError } from '@soma/contracts/errors'
import { isSeq, parseDocument } from 'yaml'

const EMPTY = `apiVersion: soma.dev/v1
kind: Constitution
metadata: { name: own, version: 1.0.0 }
rules: []
`

/**
 * The text with further rules at the end of its list, and its comments. Whether they hold, `checkConstitution` tells.
 * @param text undefined: there are no rules yet
 * @throws `invalid_input`
 */
export function addRules(text: string | undefined, rules: readonly unknown[]): string {
  const document = parseDocument(text ?? EMPTY)
  const list = document.get('rules')
  if (!isSeq(list)) throw new SomaError('invalid_input', 'The constitution has no list of rules that others could be added to.')
  list.flow = false
  for (const rule of rules) list.add(document.createNode(rule))
  return document.toString({ lineWidth: 0 })
}
