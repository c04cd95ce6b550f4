import { access, constants, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import type { Project } from '@soma/contracts/project'
import { findRunningServer } from '@soma/kernel/lifecycle/data-directory'
import { answerOf } from '@soma/sdk/client'
import { type Connection, connect } from '../connection.ts'
import { EXIT } from '../exit-codes.ts'
import { openLogFile } from '../log-file.ts'
import { type ReportFiles, writeReports } from '../reports.ts'
import { explainStart, isPortFree, openWholePlatform, serverConfig } from '../serve.ts'
import { type Configure, type Session, shellWord, shownPath } from '../session.ts'
import { duration } from '../text.ts'
import type { PendingApproval } from '../tree.ts'
import { watchProject } from '../watch-project.ts'

const TEMPLATE = 'repository-health'

interface DemoOptions {
  repository: string
  once?: boolean
  approve?: boolean
}

const configure: Configure = (command, session) => {
  command
    .option('--repository <path>', 'Git repository to look at', '.')
    .option('--approve', 'Approve what it asks for')
    .option('--once', 'End after the project instead of staying up')
    .addHelpText(
      'after',
      `
Starts everything in this process, without account, network or Docker, and
runs the project "${TEMPLATE}". One deliverable is stopped by the
constitution; one asks for approval: answer it in the terminal, give
--approve, or leave it pending.

Exit codes: 0 done, or waiting only for people or policy; 1 something failed.

Examples:
  $ npm run demo
  $ npm run demo -- --repository /srv/app --approve
  $ npm run demo -- --once --json
`,
    )
    .action((options: DemoOptions) => runDemo(session, options))
}
export default configure

/** Milliseconds since the process began. */
interface Timings {
  up: number
  firstDeliverable?: number
  total: number
}

async function runDemo(session: Session, options: DemoOptions): Promise<void> {
  const repository = await checkFolder(resolve(session.cwd, options.repository))
  const stage = await openStage(session)
  const timings: Timings = { up: sinceStart(), total: 0 }
  try {
    const project = await createProject(stage.connection, repository)
    session.terminal.note('')
    const watched = await watchProject(session, stage.connection, project.id, {
      approve: options.approve,
      onChange: (now) => {
        if (now.deliverables.some(({ status }) => status === 'done')) timings.firstDeliverable ??= sinceStart()
      },
    })
    const reports = watched.project.report
      ? await writeReports(stage.connection, project.id, join(stage.dataFolder, 'reports', project.id))
      : undefined
    timings.total = sinceStart()
    session.exitCode = isWell(watched.project) ? EXIT.done : EXIT.failed
    await conclude(session, stage, { ...watched, reports, timings })
    if (!options.once && stage.isOurs) await stayUp(session, stage)
  } finally {
    await stage.close()
  }
}

/** Where the project runs: in this process, or on the server that has the data folder already. */
interface Stage {
  connection: Connection
  dataFolder: string
  isOurs: boolean
  close(): Promise<void>
  /** Resolves when a signal asked for the end. */
  untilSignal(): Promise<void>
}

async function openStage(session: Session): Promise<Stage> {
  const config = await serverConfig(session, {})
  const apiKey = session.env.SOMA_API_KEY || undefined
  const running = await findRunningServer(config.data)
  if (running) {
    session.terminal.note(`Using the server that runs at ${running.url}.`)
    const connection = await connect({ url: running.url, apiKey, dataFolder: config.data })
    return { connection, dataFolder: config.data, isOurs: false, close: async () => undefined, untilSignal: async () => undefined }
  }
  session.terminal.note(`Starting the platform on ${shownPath(config.data, session.cwd)} …`)
  const { host, port } = config.http
  const http = (await isPortFree(host, port)) ? config.http : { ...config.http, port: 0 }
  const log = openLogFile()
  const platform = await openWholePlatform({ ...config, http }, log).catch((cause: unknown) => {
    throw explainStart(cause, config.data)
  })
  log.keepIn(join(platform.dataDirectory, 'demo.log'))
  const asked = new Promise<void>((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done())
  })
  // Before it stays up, a signal stops what is under way as well.
  void asked.then(async () => {
    await platform.lifecycle.stop('a signal')
    process.exit(session.exitCode)
  })
  return {
    connection: await connect({ url: platform.url, apiKey, dataFolder: platform.dataDirectory }),
    dataFolder: platform.dataDirectory,
    isOurs: true,
    close: async () => void (await platform.lifecycle.stop('the demo is over')),
    untilSignal: () => asked,
  }
}

async function checkFolder(path: string): Promise<string> {
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const what = cause.code === 'ENOENT' ? 'does not exist' : `can not be read (${cause.code})`
    throw new SomaError('not_a_repository', `${path} ${what}. Name a git repository with --repository.`, { path }, { cause })
  })
  if (!found.isDirectory())
    throw new SomaError('not_a_repository', `${path} is not a folder. Name a git repository with --repository.`, { path })
  await access(path, constants.R_OK | constants.X_OK).catch((cause: NodeJS.ErrnoException) => {
    throw new SomaError('not_a_repository', `${path} can not be read by this user (${cause.code}).`, { path }, { cause })
  })
  return path
}

/** Asks the git tools first, so that what is no repository is said before a project is made of it. */
async function createProject({ client }: Connection, repository: string): Promise<Project> {
  await answerOf(
    client.POST('/v1/operations/{operation}/execute', {
      params: { path: { operation: 'git.inspect' } },
      body: { input: { repository }, approvals: [] },
    }),
  )
  return (await answerOf(
    client.POST('/v1/projects', { body: { template: TEMPLATE, inputs: { repository }, brief: `The health of ${repository}` } }),
  )) as Project
}

/** Done, or all that is left is for people and policy to say. */
function isWell({ status, deliverables }: Project): boolean {
  return (status === 'done' || status === 'waiting' || status === 'running') && deliverables.every((each) => each.status !== 'failed')
}

interface Outcome {
  project: Project
  approvals: PendingApproval[]
  reports: ReportFiles | undefined
  timings: Timings
}

async function conclude(session: Session, stage: Stage, { project, approvals, reports, timings }: Outcome): Promise<void> {
  const { client, url } = stage.connection
  const { position, hash } = await answerOf(client.GET('/v1/audit/head'))
  const { terminal, typed, cwd } = session
  const seconds = (milliseconds: number) => Math.round(milliseconds / 10) / 100
  const deliverables = project.deliverables.map(({ id, title, status, wave, startedAt, endedAt, message }) => ({
    id,
    title,
    status,
    wave,
    seconds: startedAt && endedAt ? seconds(Date.parse(endedAt) - Date.parse(startedAt)) : null,
    ...(message ? { message } : {}),
  }))
  const value = {
    project: project.id,
    status: project.status,
    ...(project.error ? { error: project.error } : {}),
    deliverables,
    approvals: approvals.map(({ id, deliverable, summary }) => ({ id, deliverable, summary })),
    report: reports ?? null,
    ledger: { position, hash },
    review: project.review ?? null,
    budget: project.budget,
    seconds: {
      up: seconds(timings.up),
      firstDeliverable: timings.firstDeliverable === undefined ? null : seconds(timings.firstDeliverable),
      total: seconds(timings.total),
    },
    url,
  }
  const path = (file: string) => shellWord(shownPath(file, cwd))
  const first = timings.firstDeliverable === undefined ? '' : `, first deliverable after ${duration(timings.firstDeliverable)}`
  const text = [
    '',
    `Up after ${duration(timings.up)}${first}, ${duration(timings.total)} in all.`,
    ...(reports ? [`Report    ${path(reports.html)}`, `Evidence  ${path(reports.evidence)}`] : ['No report was made.']),
    `Ledger    ${position} ${hash.slice(0, 16)}…`,
    '',
    'Try next:',
    ...approvals.map(({ id }) => `  ${typed(`approve ${id}`)}`),
    ...(reports ? [`  ${typed(`audit verify ${path(reports.evidence)}`)}`] : []),
    `  ${typed(`project show ${project.id}`)}`,
    `  ${typed(`replay ${project.id}`)}`,
    `  ${typed('tool list git')}`,
  ]
  terminal.answer(value, text.join('\n'))
}

async function stayUp({ terminal }: Session, { connection, untilSignal }: Stage): Promise<void> {
  terminal.note(`\nThe platform stays up at ${connection.url} (API: ${connection.url}/docs). Ctrl-C stops it.`)
  await untilSignal()
}

function sinceStart(): number {
  return performance.now()
}
