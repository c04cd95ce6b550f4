import { access, constants, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import type { Project } from '@soma/contracts/project'
import type { Config } from '@soma/kernel/config/schema'
import { findRunningServer } from '@soma/kernel/lifecycle/data-directory'
import type { Platform } from '@soma/kernel/platform/open-platform'
import { answerOf } from '@soma/sdk/client'
import { type Connection, connect } from '../connection.ts'
import { demoResult, describeDemo, isWell } from '../demo-result.ts'
import { EXIT } from '../exit-codes.ts'
import { type LogFile, openLogFile } from '../log-file.ts'
import { writeReports } from '../reports.ts'
import { explainStart, isPortFree, openWholePlatform, serverConfig } from '../serve.ts'
import { type Configure, type Session, shownPath } from '../session.ts'
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

async function runDemo(session: Session, options: DemoOptions): Promise<void> {
  // What a signal cuts short is not done.
  session.exitCode = EXIT.failed
  const repository = await checkFolder(resolve(session.cwd, options.repository))
  const stage = await openStage(session)
  const up = performance.now()
  try {
    const { id } = await createProject(stage.connection, repository)
    session.terminal.note('')
    const { project, approvals } = await watchProject(session, stage.connection, id, { approve: options.approve })
    const folder = join(stage.dataFolder, 'reports', id)
    const reports = project.report ? await writeReports(stage.connection, id, folder) : undefined
    const ledger = await answerOf(stage.connection.client.GET('/v1/audit/head'))
    const result = demoResult({ project, approvals, reports, ledger, up, total: performance.now(), began: performance.timeOrigin })
    session.exitCode = isWell(project) ? EXIT.done : EXIT.failed
    session.terminal.answer({ ...result, url: stage.connection.url }, describeDemo(result, session, options.once === true && stage.isOurs))
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
  const log = openLogFile()
  const platform = await openOnAnyPort(config, log).catch((cause: unknown) => {
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

/** On the port of the configuration, or on a free one when that is taken. */
async function openOnAnyPort(config: Config, log: LogFile): Promise<Platform> {
  const onFreePort = { ...config, http: { ...config.http, port: 0 } }
  if (!(await isPortFree(config.http.host, config.http.port))) return openWholePlatform(onFreePort, log)
  return openWholePlatform(config, log).catch((error: unknown) => {
    // Taken since we looked.
    if (SomaError.is(error, 'port_in_use')) return openWholePlatform(onFreePort, log)
    throw error
  })
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

async function stayUp({ terminal }: Session, { connection, untilSignal }: Stage): Promise<void> {
  terminal.note(`\nThe platform stays up at ${connection.url} (API: ${connection.url}/docs). Ctrl-C stops it.`)
  await untilSignal()
}
