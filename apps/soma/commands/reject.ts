import { answerApproval, describeAnswered } from '../answer-approval.ts'
import type { Configure } from '../session.ts'

const configure: Configure = (command, session) => {
  command
    .argument('<id>', 'Id of the approval, as "soma approvals list" shows it')
    .requiredOption('--reason <text>', 'Why; kept in the ledger, and told to whoever asked')
    .option('--for <person>', 'Who delegated their approvals to you, when it is for them')
    .addHelpText(
      'after',
      `
One who rejects is enough, however many must approve.

Example:
  $ soma reject 4f0c2a… --reason "not this quarter"
`,
    )
    .action(async (id: string, { reason, for: onBehalfOf }: { reason: string; for?: string }) => {
      const approval = await answerApproval(await session.connect(), id, { approve: false, reason, onBehalfOf })
      session.terminal.answer(approval, describeAnswered(approval))
    })
}
export default configure
