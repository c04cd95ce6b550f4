import { Option } from 'commander'
import { collectServices, type StartOptions, startServer } from '../serve.ts'
import type { Configure } from '../session.ts'

const configure: Configure = (command, session) => {
  command
    .addOption(new Option('--profile <name>', 'embedded, or stack: on the real servers (default embedded)').choices(['embedded', 'stack']))
    .option('--services <names>', 'Run only these services, e.g. orchestrator,tool-service', collectServices)
    .option('--port <number>', 'Port to listen on; 0 takes any free one (default 8000)', Number)
    .option('--host <address>', 'Address to listen on (default 127.0.0.1; 0.0.0.0 is reached from everywhere)')
    .addHelpText(
      'after',
      `
Everything is kept in the data folder. The first start makes an
administrator's API key there; the command line finds it by itself.
Settings are read from soma.config.ts and SOMA_* variables.

Examples:
  $ soma start
  $ soma start --port 9000 --data /srv/soma
  $ soma start --profile stack         after: npm run stack -- up
  $ SOMA_SQL_URL=postgres://… soma start --services orchestrator
`,
    )
    .action(async (options: StartOptions) => {
      await startServer(session, options)
    })
}
export default configure
