import { setTimeout as wait } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import { findRunningServer } from '@soma/kernel/lifecycle/data-directory'
import type { Configure, Session } from '../session.ts'

/** Seconds that a stop may take: the server's own deadline and a little. */
const LONGEST = 30

const configure: Configure = (command, session) => {
  command
    .addHelpText('after', '\nStops the server of the data folder. What runs is parked and goes on at the next start.\n')
    .action(() => stopServer(session))
}
export default configure

async function stopServer(session: Session): Promise<void> {
  const folder = await session.dataFolder()
  const server = await findRunningServer(folder)
  if (!server) throw new SomaError('dependency_unavailable', `No server runs on ${folder}.`, { data: folder })
  process.kill(server.pid, 'SIGTERM')
  for (let tries = 0; (await findRunningServer(folder)) !== undefined; tries++) {
    if (tries >= LONGEST * 10)
      throw new SomaError('internal', `The server with process id ${server.pid} did not stop in ${LONGEST} s.`, { pid: server.pid })
    await wait(100)
  }
  session.terminal.answer({ stopped: server.pid, url: server.url }, `Stopped the server at ${server.url}.`)
}
