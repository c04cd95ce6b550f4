import type { Constitution, Rule } from '@soma/contracts/constitution'
import { dequal } from 'dequal'

/** A rule that stands in both, and what of it is another. */
export interface ChangedRule {
  id: string
  fields: string[]
  before: Rule
  after: Rule
}

/** What changes when the rules of one text are replaced by those of another. */
export interface ConstitutionDiff {
  added: Rule[]
  removed: Rule[]
  changed: ChangedRule[]
  /** By their names. */
  tests: { added: string[]; removed: string[]; changed: string[] }
  /** Anything else that decides: the regions. Undefined: as before. */
  residency?: { before: string[]; after: string[] }
}

/** @param before undefined: there were no rules */
export function diffConstitutions(before: Constitution | undefined, after: Constitution | undefined): ConstitutionDiff {
  const rules = compare(before?.rules ?? [], after?.rules ?? [], ({ id }) => id)
  const tests = compare(before?.tests ?? [], after?.tests ?? [], ({ name }) => name)
  const residency = { before: before?.residency ?? [], after: after?.residency ?? [] }
  return {
    added: rules.added,
    removed: rules.removed,
    changed: rules.changed.map(([one, other]) => ({ id: one.id, fields: fieldsThatDiffer(one, other), before: one, after: other })),
    tests: {
      added: tests.added.map(({ name }) => name),
      removed: tests.removed.map(({ name }) => name),
      changed: tests.changed.map(([{ name }]) => name),
    },
    ...(dequal(residency.before, residency.after) ? {} : { residency }),
  }
}

function compare<Item>(before: readonly Item[], after: readonly Item[], keyOf: (item: Item) => string) {
  const [earlier, later] = [before, after].map((items) => new Map(items.map((item) => [keyOf(item), item]))) as [
    Map<string, Item>,
    Map<string, Item>,
  ]
  return {
    added: after.filter((item) => !earlier.has(keyOf(item))),
    removed: before.filter((item) => !later.has(keyOf(item))),
    changed: before.flatMap((item): [Item, Item][] => {
      const other = later.get(keyOf(item))
      return other === undefined || dequal(item, other) ? [] : [[item, other]]
    }),
  }
}

function fieldsThatDiffer(one: Rule, other: Rule): string[] {
  const [before, after] = [one, other].map((rule) => ({ ...rule.applies, ...rule, applies: undefined }) as Record<string, unknown>) as [
    Record<string, unknown>,
    Record<string, unknown>,
  ]
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((field) => !dequal(before[field], after[field])).sort()
}
