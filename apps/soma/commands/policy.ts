import { readFile } from 'node:fs/promises'
import type { Explanation } from '@soma/contracts/policy'
import { answerOf } from '@soma/sdk/client'
import { Option } from 'commander'
import { collect } from '../inputs.ts'
import { describeDecision, describeExplanation } from '../policy-view.ts'
import { type Configure, type Session, UsageError } from '../session.ts'

interface QuestionOptions {
  capability?: string
  effect: 'read' | 'write' | 'destructive'
  resource?: string[]
  label?: string[]
  approval?: string[]
  as: 'user' | 'service' | 'agent'
  holds?: string[]
  question?: string
}

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
Asks what the rules in force decide. Nothing is done, counted or recorded.

Examples:
  $ soma policy evaluate tool.git.commit --effect write \\
      --resource kind=repository --resource branch=main
  $ soma policy explain tool.http.get --as agent --holds 'tool.*' \\
      --resource host=10.0.0.7
  $ soma policy explain --question question.json

A question holds principal, action and context, as POST /v1/explain takes
them; "-" reads it from standard input.
`,
  )
  for (const [name, summary, run] of [
    ['evaluate', 'What would be decided', evaluate],
    ['explain', 'Why: which rules hold, which do not, on which condition', explain],
  ] as const) {
    command
      .command(`${name} [action]`)
      .description(summary)
      .option('--capability <name>', 'What the action needs (default: its name)')
      .addOption(new Option('--effect <effect>', 'What it does').choices(['read', 'write', 'destructive']).default('read'))
      .option('--resource <fact=value>', 'A fact about its target; again for each', collect)
      .option('--label <label>', 'Of the data that led to it; again for each', collect)
      .option('--approval <id>', 'Given for it; again for each', collect)
      .addOption(new Option('--as <kind>', 'Who asks').choices(['user', 'service', 'agent']).default('user'))
      .option('--holds <capability>', 'What they hold (default: everything)', collect)
      .option('--question <file>', 'The whole question as JSON instead')
      .action((action: string | undefined, options: QuestionOptions) => run(session, action, options))
  }
}
export default configure

async function evaluate(session: Session, action: string | undefined, options: QuestionOptions): Promise<void> {
  const { client } = await session.connect()
  const decision = await answerOf(client.POST('/v1/evaluate', { body: await questionOf(action, options) }))
  session.terminal.answer(decision, describeDecision(decision, session.terminal))
}

async function explain(session: Session, action: string | undefined, options: QuestionOptions): Promise<void> {
  const { client } = await session.connect()
  const explanation = await answerOf(client.POST('/v1/explain', { body: await questionOf(action, options) }))
  session.terminal.answer(explanation, describeExplanation(explanation as Explanation, session.terminal))
}

async function questionOf(name: string | undefined, options: QuestionOptions) {
  if (options.question !== undefined) return readQuestion(options.question)
  if (!name) throw new UsageError('Name the action, like tool.git.commit, or a file with --question.')
  const { capability = name, effect, resource = [], label, approval, as, holds = ['*'] } = options
  return {
    principal: { id: `${as}:cli`, kind: as, capabilities: holds },
    action: { name, capability, effect, resource: Object.fromEntries(resource.map(factOf)) },
    context: { ...(label && { labels: label }), ...(approval && { approvals: approval }) },
  }
}

/** `host=10.0.0.7`; what is JSON is taken as that: `inside_workspace=true`. */
function factOf(word: string): [string, unknown] {
  const at = word.indexOf('=')
  if (at < 1) throw new UsageError(`"${word}" is no fact. Write it as fact=value.`)
  const text = word.slice(at + 1)
  try {
    return [word.slice(0, at), JSON.parse(text)]
  } catch {
    return [word.slice(0, at), text]
  }
}

async function readQuestion(file: string) {
  const text = await readFile(file === '-' ? '/dev/stdin' : file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${file} can not be read (${cause.code}).`)
  })
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new UsageError(`${file} can not be read as JSON: ${(cause as Error).message}`)
  }
}
