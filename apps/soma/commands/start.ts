import { collectServices, startServer } from '../serve.ts'
import type { Configure } from '../session.ts'

const configure: Configure = (command, session) => {
  command
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
  $ SOMA_SQL_URL=postgres://… soma start --services orchestrator
`,
    )
    .action(async (options: { services?: string[]; port?: number; host?: string }) => {
      await startServer(session, options)
    })
}
export default configure
