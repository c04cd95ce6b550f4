import { answerOf } from '@soma/sdk/client'
import { collect, INPUT_HELP, parseInputs, parseJsonInput } from '../inputs.ts'
import type { Configure, Session } from '../session.ts'
import { paragraph, table } from '../text.ts'

interface CallOptions {
  input?: string[]
  jsonInput?: string
  approval?: string[]
}

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
Examples:
  $ soma tool list git
  $ soma tool show git.log
  $ soma tool call git.inspect --input repository=$PWD
  $ soma tool call http.get --json-input '{"url":"https://example.org"}'
`,
  )
  command
    .command('list [adapter]')
    .description('Operations there are, by adapter')
    .action((adapter: string | undefined) => list(session, adapter))
  command
    .command('show <operation>')
    .description('What an operation does, takes and gives')
    .action((operation: string) => show(session, operation))
  command
    .command('call <operation>')
    .description('Call an operation; policy is asked first')
    .option('--input <name=value>', INPUT_HELP, collect)
    .option('--json-input <json>', 'All inputs as one JSON object; @file reads one')
    .option('--approval <id>', 'Approval given for exactly this call', collect)
    .action((operation: string, options: CallOptions) => call(session, operation, options))
}
export default configure

async function list(session: Session, adapter: string | undefined): Promise<void> {
  const { client } = await session.connect()
  const [adapters, operations] = await Promise.all([
    answerOf(client.GET('/v1/adapters')),
    answerOf(client.GET('/v1/operations', { params: { query: adapter ? { adapter } : {} } })),
  ])
  const { paint, width } = session.terminal
  const sections = adapters.items
    .filter(({ name }) => !adapter || name === adapter)
    .map(({ name, summary, health }) => {
      const rows = operations.items.filter((each) => each.adapter === name).map((each) => [`  ${each.name}`, each.effect, each.summary])
      return [
        `${paint.bold(name)}  ${summary}`,
        ...(health.ok ? [] : [paint.yellow(`  not ready: ${health.detail}`)]),
        table(rows, width),
      ].join('\n')
    })
  session.terminal.answer(operations.items, sections.join('\n\n') || `There is no adapter "${adapter}".`)
}

async function show(session: Session, name: string): Promise<void> {
  const { client } = await session.connect()
  const operation = await answerOf(client.GET('/v1/operations/{operation}', { params: { path: { operation: name } } }))
  const { paint, width } = session.terminal
  const inputs = Object.entries((operation.inputSchema.properties ?? {}) as Record<string, { type?: string; description?: string }>)
  const required = (operation.inputSchema.required ?? []) as string[]
  const rows = inputs.map(([input, { type, description }]) => [
    `  ${input}${required.includes(input) ? '' : '?'}`,
    type ?? 'any',
    description ?? '',
  ])
  session.terminal.answer(
    operation,
    [
      paint.bold(operation.name),
      ...paragraph(`${operation.summary}. ${operation.description ?? ''}`.trim(), width),
      '',
      `effect ${operation.effect}, capability ${operation.capability}, after a crash: ${operation.idempotency}`,
      ...(rows.length > 0 ? ['', 'Inputs:', table(rows, width)] : []),
    ].join('\n'),
  )
}

async function call(session: Session, name: string, options: CallOptions): Promise<void> {
  const { client } = await session.connect()
  const params = { path: { operation: name } }
  const operation = await answerOf(client.GET('/v1/operations/{operation}', { params }))
  const input = {
    ...(options.jsonInput ? await parseJsonInput(options.jsonInput) : {}),
    ...parseInputs(options.input ?? [], operation.inputSchema),
  }
  const result = await answerOf(
    client.POST('/v1/operations/{operation}/execute', { params, body: { input, approvals: options.approval ?? [] } }),
  )
  session.terminal.answer(result, JSON.stringify(result.output, null, 2))
}
