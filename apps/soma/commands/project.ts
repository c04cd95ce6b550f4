import { readFile } from 'node:fs/promises'
import { SomaError } from '@soma/contracts/errors'
import { Plan, type Project } from '@soma/contracts/project'
import { answerOf } from '@soma/sdk/client'
import { parse } from 'yaml'
import { type Answer, answerApproval, describeAnswered } from '../answer-approval.ts'
import type { Connection } from '../connection.ts'
import { pendingApprovals, readProject } from '../follow-project.ts'
import { collect, INPUT_HELP, parseInputs, parseJsonInput } from '../inputs.ts'
import { writeReports } from '../reports.ts'
import { type Configure, type Session, shownPath, UsageError } from '../session.ts'
import { table } from '../text.ts'
import { renderProject } from '../tree.ts'
import { exitCodeOfProject, watchProject } from '../watch-project.ts'

interface CreateOptions {
  template?: string
  plan?: string
  brief?: string
  name?: string
  input?: string[]
  jsonInput?: string
  wait?: boolean
  approve?: boolean
}

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
Examples:
  $ soma project create --template repository-health \\
      --input repository=/srv/app --wait
  $ soma project watch prj-m3x1…        live, asks what needs your word
  $ soma project approve prj-m3x1…      approve all that it waits for
  $ soma project report prj-m3x1… --output ./report
`,
  )
  command
    .command('create')
    .description('Create a project and start it')
    .option('--template <name>', 'Plan template to make it from')
    .option('--plan <file>', 'Plan of your own (YAML)')
    .option('--brief <file>', 'What it is for, as text')
    .option('--name <name>', 'Name for people')
    .option('--input <name=value>', INPUT_HELP, collect)
    .option('--json-input <json>', 'All inputs as one JSON object; @file reads one')
    .option('--wait', 'Watch it until it is done or waits for a person')
    .option('--approve', 'With --wait: approve what it asks for')
    .addHelpText(
      'after',
      `
Exit codes with --wait: 0 all was made, 1 something failed, 4 it waits for
a person or was stopped by policy.
`,
    )
    .action((options: CreateOptions) => create(session, options))
  command
    .command('list')
    .description('Projects, newest first')
    .option('--limit <number>', 'How many', Number, 20)
    .action(({ limit }: { limit: number }) => list(session, limit))
  command
    .command('show <id>')
    .description('A project as it is now')
    .action((id: string) => show(session, id))
  command
    .command('watch <id>')
    .description('Watch a project, and answer what it asks')
    .option('--approve', 'Approve what it asks for')
    .action((id: string, options: { approve?: boolean }) => watch(session, id, options))
  command
    .command('approve <id> [deliverable]')
    .description('Approve what a project waits for')
    .option('--reason <text>', 'Why')
    .action((id: string, deliverable: string | undefined, { reason }: { reason?: string }) =>
      answer(session, id, deliverable, { approve: true, reason }),
    )
  command
    .command('reject <id> [deliverable]')
    .description('Reject what a project waits for')
    .requiredOption('--reason <text>', 'Why')
    .action((id: string, deliverable: string | undefined, { reason }: { reason: string }) =>
      answer(session, id, deliverable, { approve: false, reason }),
    )
  command
    .command('resolve <id> <deliverable>')
    .description('Have policy asked again about what it blocked, or drop it')
    .option('--drop', 'It shall not be made')
    .option('--reason <text>', 'Why')
    .action((id: string, deliverable: string, options: { drop?: boolean; reason?: string }) => resolve(session, id, deliverable, options))
  command
    .command('cancel <id>')
    .description('Cancel a project and everything that runs for it')
    .option('--reason <text>', 'Why')
    .action((id: string, { reason }: { reason?: string }) => cancel(session, id, reason))
  command
    .command('report <id>')
    .description('Save the report: index.html, report.json, evidence.jsonl')
    .option('--output <folder>', 'Where to (default: reports/<id> in the data folder)')
    .action((id: string, { output }: { output?: string }) => report(session, id, output))
}
export default configure

async function create(session: Session, options: CreateOptions): Promise<void> {
  if ((options.template === undefined) === (options.plan === undefined))
    throw new UsageError('Name a plan template with --template, or a plan of your own with --plan; one of the two.')
  const connection = await session.connect()
  const plan = options.plan === undefined ? undefined : await readPlan(options.plan)
  const schema = plan ? plan.inputs : (await readTemplate(connection, options.template as string)).inputs
  const inputs = {
    ...(options.jsonInput ? await parseJsonInput(options.jsonInput) : {}),
    ...parseInputs(options.input ?? [], schema),
  }
  const project = (await answerOf(
    connection.client.POST('/v1/projects', {
      body: {
        inputs,
        ...(plan ? { plan } : { template: options.template }),
        ...(options.name ? { name: options.name } : {}),
        ...(options.brief ? { brief: await readText(options.brief) } : {}),
      },
    }),
  )) as Project
  if (options.wait) return watch(session, project.id, options)
  session.terminal.answer(project, `${project.id}  ${project.name}\nWatch it: ${session.typed(`project watch ${project.id}`)}`)
}

async function readTemplate({ client }: Connection, name: string): Promise<Plan> {
  return (await answerOf(client.GET('/v1/plans/{name}', { params: { path: { name } } }))) as Plan
}

/** The server checks the plan as a whole; here it only has to be one. */
async function readPlan(file: string): Promise<Plan> {
  const text = await readText(file)
  let value: unknown
  try {
    value = parse(text)
  } catch (cause) {
    throw new SomaError('plan_invalid', `${file} is not YAML: ${(cause as Error).message.split('\n')[0]}`, { file }, { cause })
  }
  const plan = Plan.safeParse(value)
  if (plan.success) return plan.data
  const [issue] = plan.error.issues
  throw new SomaError('plan_invalid', `${file}: ${issue?.path.join('.') || 'the plan'}: ${issue?.message}`, {
    file,
    problems: plan.error.issues,
  })
}

async function readText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${file} can not be read (${cause.code}).`, { file })
  })
}

async function list(session: Session, limit: number): Promise<void> {
  const { client } = await session.connect()
  const page = await answerOf(client.GET('/v1/projects', { params: { query: { limit } } }))
  const rows = page.items.map(({ id, name, status, createdAt }) => [id, status, createdAt.slice(0, 19).replace('T', ' '), name])
  session.terminal.answer(page.items, rows.length > 0 ? table(rows, session.terminal.width) : 'There are no projects.')
}

async function show(session: Session, id: string): Promise<void> {
  const connection = await session.connect()
  const [project, approvals] = await Promise.all([readProject(connection, id), pendingApprovals(connection, id)])
  const { terminal, typed } = session
  terminal.answer(project, renderProject(project, { ...terminal, now: Date.now(), frame: 0, approvals, typed }))
}

async function watch(session: Session, id: string, options: { approve?: boolean }): Promise<void> {
  const connection = await session.connect()
  const { project, approvals } = await watchProject(session, connection, id, options)
  session.exitCode = exitCodeOfProject(project)
  if (session.terminal.isJson) session.terminal.answer({ ...project, approvals }, '')
  else if (project.report) session.terminal.note(`Report: ${session.typed(`project report ${id}`)}`)
}

async function answer(session: Session, id: string, deliverable: string | undefined, word: Answer): Promise<void> {
  const connection = await session.connect()
  await readProject(connection, id)
  const waiting = (await pendingApprovals(connection, id)).filter((each) => !deliverable || each.deliverable === deliverable)
  if (waiting.length === 0)
    throw new SomaError(
      'not_found',
      `${deliverable ? `Deliverable "${deliverable}" of project` : 'Project'} ${id} waits for no approval.`,
      { id },
    )
  const answered = await Promise.all(waiting.map((each) => answerApproval(connection, each.id, word)))
  session.terminal.answer(answered, answered.map(describeAnswered).join('\n'))
}

async function resolve(session: Session, id: string, deliverable: string, options: { drop?: boolean; reason?: string }): Promise<void> {
  const { client } = await session.connect()
  const resolution = options.drop ? 'drop' : 'retry'
  const project = await answerOf(
    client.POST('/v1/projects/{id}/requeue/{deliverable}/resolve', {
      params: { path: { id, deliverable } },
      body: { resolution, ...(options.reason ? { reason: options.reason } : {}) },
    }),
  )
  session.terminal.answer(project, options.drop ? `${deliverable} is dropped.` : `Policy is asked again about ${deliverable}.`)
}

async function cancel(session: Session, id: string, reason: string | undefined): Promise<void> {
  const { client } = await session.connect()
  const project = await answerOf(client.POST('/v1/projects/{id}/cancel', { params: { path: { id } }, body: reason ? { reason } : {} }))
  session.terminal.answer(project, `Project ${id} is being cancelled.`)
}

async function report(session: Session, id: string, output: string | undefined): Promise<void> {
  const connection = await session.connect()
  const written = await writeReports(connection, id, output ?? `${await session.dataFolder()}/reports/${id}`)
  session.terminal.answer(
    written,
    Object.values(written)
      .map((path) => shownPath(path, session.cwd))
      .join('\n'),
  )
}
