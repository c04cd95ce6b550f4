import { addRunOptions, type RunOptions, runCapsule } from '../run-capsule.ts'
import type { Configure } from '../session.ts'

const configure: Configure = (command, session) => {
  addRunOptions(command.argument('<capsule>', 'name, name@1.0.0, or a file'))
    .addHelpText(
      'after',
      `
A file is kept by the server under its name and version; only what is
signed runs. Exit code 4: it waits for an approval.

Examples:
  $ soma run repository_inventory --input repository=$PWD
  $ soma run hello@0.1.0 --json-input @inputs.json
  $ soma run ./hello.capsule.yaml --sign --input repository=$PWD
`,
    )
    .action((capsule: string, options: RunOptions) => runCapsule(session, capsule, options))
}
export default configure
