import { SomaError } from '@soma/contracts/errors'
import { distance } from 'fastest-levenshtein'

export type ProblemCode =
  | 'yaml_syntax'
  | 'too_large'
  | 'unknown_key'
  | 'invalid_value'
  | 'duplicate'
  | 'cycle'
  | 'unknown_step'
  | 'unknown_deliverable'
  | 'unknown_input'
  | 'unknown_tool'
  | 'unknown_persona'
  | 'not_permitted'
  | 'invalid_arguments'
  | 'invalid_schema'
  | 'expression_invalid'
  | 'budget_exceeded'

/** Something wrong at a place of a value. */
export interface Finding {
  code: ProblemCode
  /** What is wrong, with the value, and what is allowed. */
  message: string
  path: (string | number)[]
  /** The step or deliverable it is in. */
  step?: string
  /** The place is the path's last key, not its value. */
  isKey?: boolean
  /** Within text: characters from its beginning. */
  at?: number
}

/** A finding with its place in the source; line and column count from 1, and are 0 for what has no source. */
export interface Problem {
  code: ProblemCode
  message: string
  line: number
  column: number
  step?: string
  path: (string | number)[]
  file?: string
}

/** `capsule.yaml:12:7 Step "deploy" needs …` */
export function formatProblem(problem: Problem): string {
  const place = [problem.file, problem.line > 0 && problem.line, problem.line > 0 && problem.column].filter(Boolean).join(':')
  return place ? `${place} ${problem.message}` : problem.message
}

/** One error for all problems, for who must have a capsule or plan that holds. */
export function problemsError(code: 'capsule_invalid' | 'plan_invalid', problems: readonly Problem[]): SomaError {
  return new SomaError(code, problems.map(formatProblem).join('\n'), { problems })
}

/** `Steps: build, test. Did you mean "test"?` */
export function suggest(kind: string, allowed: readonly string[], wrong: string): string {
  if (allowed.length === 0) return `${kind}: none.`
  const listed = allowed.length > 20 ? `${allowed.slice(0, 20).join(', ')}, … ${allowed.length} in all` : allowed.join(', ')
  const near = nearest(allowed, wrong)
  return `${kind}: ${listed}.${near ? ` Did you mean "${near}"?` : ''}`
}

/** The name that was probably meant. */
export function nearest(allowed: readonly string[], wrong: string): string | undefined {
  const limit = Math.max(2, Math.floor(wrong.length / 3))
  const ranked = allowed.map((name) => ({ name, far: distance(name, wrong.slice(0, 200)) })).sort((a, b) => a.far - b.far)
  return ranked[0] && ranked[0].far <= limit ? ranked[0].name : undefined
}
