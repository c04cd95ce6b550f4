import { access, constants, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { loadConfig } from '@soma/kernel/config/config'
import { Config } from '@soma/kernel/config/schema'
import { answerOf } from '@soma/sdk/client'
import { ADAPTERS } from '../adapters.ts'
import { EXIT } from '../exit-codes.ts'
import { checkPorts, type Finding, fixOf } from '../ports-check.ts'
import type { Configure, Session } from '../session.ts'
import { pad, paragraph, truncate } from '../text.ts'

const LEAST_NODE = [20, 19]
/** Bytes below which a project of some size may not fit. */
const LEAST_SPACE = 2 * 1024 ** 3

const configure: Configure = (command, session) => {
  command
    .addHelpText(
      'after',
      `
Tries every driver in a temporary folder, so it works without a server; of
a running one it also asks how it is. Exit code 1: something needed is
missing. What is optional only limits which tools can be called.
`,
    )
    .action(() => examine(session))
}
export default configure

interface Section {
  title: string
  findings: Finding[]
}

async function examine(session: Session): Promise<void> {
  const settings = await readSettings(session)
  const config = settings.config ?? Config.parse({})
  const sections: Section[] = [
    { title: 'Machine', findings: [checkNode(), settings.finding, await checkSpace(config.data)] },
    { title: 'Server', findings: await checkServer(session) },
    { title: 'Ports', findings: await checkPorts(config) },
    { title: 'Tools', findings: await checkTools() },
  ]
  const all = sections.flatMap(({ findings }) => findings)
  const isWell = all.every(({ ok, isOptional }) => ok || isOptional)
  session.exitCode = isWell ? EXIT.done : EXIT.failed
  session.terminal.answer(
    { ok: isWell, ...Object.fromEntries(sections.map(({ title, findings }) => [title.toLowerCase(), findings])) },
    [
      ...sections.flatMap((section) => sectionLines(session, section)),
      isWell ? 'All that is needed is there.' : 'Something needed is missing.',
    ].join('\n'),
  )
}

function sectionLines({ terminal: { paint, width, hasUnicode } }: Session, { title, findings }: Section): string[] {
  const sign = ({ ok, isOptional }: Finding) => {
    if (ok) return paint.green(hasUnicode ? '✔' : '+')
    return isOptional ? paint.yellow('-') : paint.red(hasUnicode ? '✖' : 'x')
  }
  const lines = findings.flatMap((finding) => {
    const { name, driver, version, milliseconds, detail, fix } = finding
    const latency = milliseconds === undefined ? '' : `${milliseconds} ms`
    const facts = driver
      ? [pad(driver, 11), detail && !version ? '' : pad(truncate(version ?? '', 24), 24), latency, detail].filter(Boolean).join('  ')
      : [version, latency, detail].filter(Boolean).join('  ')
    return [
      `  ${sign(finding)} ${pad(name, 12)} ${truncate(facts, width - 17)}`,
      ...(fix && !finding.ok ? paragraph(fix, width, 17).map(paint.cyan) : []),
    ]
  })
  return [paint.bold(title), ...lines, '']
}

async function readSettings({ cwd, env, data }: Session): Promise<{ config?: Config; finding: Finding }> {
  try {
    const config = await loadConfig({ cwd, env, overrides: { data } })
    return { config, finding: { name: 'settings', ok: true, detail: 'hold' } }
  } catch (error) {
    if (!SomaError.is(error)) throw error
    return { finding: { name: 'settings', ok: false, detail: error.code, fix: error.message } }
  }
}

function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [leastMajor = 0, leastMinor = 0] = LEAST_NODE
  return {
    name: 'node',
    ok: major > leastMajor || (major === leastMajor && minor >= leastMinor),
    version: process.versions.node,
    fix: `Install Node ${LEAST_NODE.join('.')} or newer.`,
  }
}

async function checkSpace(folder: string): Promise<Finding> {
  const there = await nearest(folder)
  const { bavail, bsize } = await statfs(there)
  const free = bavail * bsize
  const isWritable = await access(there, constants.W_OK).then(
    () => true,
    () => false,
  )
  return {
    name: 'data folder',
    ok: isWritable && free >= LEAST_SPACE,
    detail: `${(free / 1024 ** 3).toFixed(1)} GB free, ${folder}${isWritable ? '' : ', can not be written'}`,
    fix: isWritable ? 'Free some space, or choose another folder with SOMA_DATA.' : 'Choose another folder with SOMA_DATA.',
  }
}

/** The folder itself, or the one it would be made in. */
async function nearest(folder: string): Promise<string> {
  const isThere = await access(folder).then(
    () => true,
    () => false,
  )
  return isThere || dirname(folder) === folder ? folder : nearest(dirname(folder))
}

async function checkServer(session: Session): Promise<Finding[]> {
  try {
    const { client, url } = await session.connect()
    const began = performance.now()
    const status = await answerOf(client.GET('/v1/status'))
    const milliseconds = Math.round(performance.now() - began)
    const { ports, killSwitches } = status
    return [
      { name: 'server', ok: true, version: status.process.node, milliseconds, detail: url },
      ...Object.entries(ports).map(([name, { required, ...report }]) => ({
        name,
        isOptional: !required,
        ...report,
        fix: fixOf(name, report.driver),
      })),
      ...(killSwitches > 0
        ? [{ name: 'kill switch', ok: false, isOptional: true, detail: `${killSwitches} on`, fix: `See: ${session.typed('kill --list')}` }]
        : []),
    ]
  } catch (error) {
    if (!SomaError.is(error)) throw error
    const isAway = error.code === 'dependency_unavailable'
    return [
      {
        name: 'server',
        ok: false,
        isOptional: true,
        detail: isAway ? 'none runs' : error.code,
        fix: isAway ? 'Start it with: npm start' : error.message,
      },
    ]
  }
}

async function checkTools(): Promise<Finding[]> {
  return Promise.all(
    ADAPTERS.map(async ({ name, health }) => {
      const { ok, detail } = await health()
      return { name, ok, isOptional: name !== 'git', detail: ok ? detail : 'not there', ...(ok ? {} : { fix: detail }) }
    }),
  )
}
