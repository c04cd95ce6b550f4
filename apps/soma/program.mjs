import { readFileSync } from 'node:fs'
import { Command } from 'commander'

/** In the order of --help. Each command's options and help are in `commands/<name>.ts`, loaded when it is called. */
export const COMMANDS = [
  { name: 'demo', group: 'Begin', summary: 'Start everything and run the first project, live, on a git repository' },
  { name: 'start', group: 'Begin', summary: 'Start the server' },
  { name: 'stop', group: 'Begin', summary: 'Stop the server of the data folder' },
  { name: 'login', group: 'Begin', summary: 'Sign in, here or at the issuer that the server trusts' },
  { name: 'logout', group: 'Begin', summary: 'End what "login" began' },
  { name: 'whoami', group: 'Begin', summary: 'Say who you are to the server, and what you may do' },
  { name: 'doctor', group: 'Begin', summary: 'Say what is there, what is missing, and what to do' },
  { name: 'project', group: 'Work', summary: 'Create projects, watch them, read their reports' },
  { name: 'run', group: 'Work', summary: 'Run a capsule and show what comes out' },
  { name: 'capsule', group: 'Work', summary: 'Write, check, test and sign capsules' },
  { name: 'tool', group: 'Work', summary: 'See which tools there are, and call one' },
  { name: 'approvals', group: 'Govern', summary: 'See what waits for people, and let others answer for you' },
  { name: 'approve', group: 'Govern', summary: 'Approve what waits for a person' },
  { name: 'reject', group: 'Govern', summary: 'Reject what waits for a person' },
  { name: 'kill', group: 'Govern', summary: 'Stop a tool, capsule, run, project or everything, at once' },
  { name: 'constitution', group: 'Govern', summary: 'See the rules, and change them: try, propose, publish, roll back' },
  { name: 'policy', group: 'Govern', summary: 'Ask what would be decided, and why' },
  { name: 'budgets', group: 'Govern', summary: 'Show what was spent, of what limit' },
  { name: 'user', group: 'Access', summary: 'Invite people, give them roles, shut them out' },
  { name: 'key', group: 'Access', summary: 'Make, rotate and revoke API keys' },
  { name: 'session', group: 'Access', summary: 'See where people are signed in, and end it' },
  { name: 'mfa', group: 'Access', summary: 'Set up your own second factor' },
  { name: 'audit', group: 'Prove', summary: 'Export the audit ledger and verify it' },
  { name: 'replay', group: 'Prove', summary: 'Replay a finished run without touching the world' },
]

const AFTER_HELP = `
Environment:
  SOMA_DATA      data folder (default ./.soma)
  SOMA_URL       server to talk to (default: the one on the data folder)
  SOMA_API_KEY   key to show it (default: what "soma login" got, else
                 admin.key of the data folder)

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 server not reachable,
4 denied or waiting for approval.

Examples:
  $ soma demo                        see it work
  $ soma start                       then, in another terminal:
  $ soma project create --template repository-health \\
      --input repository=. --wait
  $ soma help project                more about one command
`

/** The command line without the commands' own options. */
export function createProgram() {
  const program = new Command('soma')
    .description('AI agents do real work with real credentials, under control.')
    .version(readVersion(), '--version', 'Show the version')
    .helpOption('-h, --help', 'Show help')
    .helpCommand(false)
    .option('--json', 'Answer with one JSON document')
    .option('--url <url>', 'Server to talk to')
    .option('--data <folder>', 'Data folder')
    .showSuggestionAfterError()
    .addHelpText('after', AFTER_HELP)
    .configureHelp({ helpWidth: 80, showGlobalOptions: false })
  for (const { name, group, summary } of COMMANDS) {
    program.addCommand(
      new Command(name).description(summary).helpGroup(`${group}:`).helpOption('-h, --help', 'Show help').copyInheritedSettings(program),
    )
  }
  return program
}

export function readVersion() {
  return JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')).version
}

/** Asked for nothing but its own help or version, which needs no command loaded. */
export function isAboutItself(words) {
  return words.length === 0 || (words.length === 1 && ['--help', '-h', '--version'].includes(words[0]))
}
