import { answerApproval, describeAnswered } from '../answer-approval.ts'
import type { Configure } from '../session.ts'

const configure: Configure = (command, session) => {
  command
    .argument('<id>', 'Id of the approval, as "soma approvals list" shows it')
    .option('--reason <text>', 'Why; kept in the ledger, and needed where a rule says so')
    .option('--for <person>', 'Who delegated their approvals to you, when it is for them')
    .addHelpText(
      'after',
      `
Whoever waits goes on at once. An approval is for exactly what "soma approvals
show" shows: when anything of it changes, it is asked again.

Example:
  $ soma approve 4f0c2a… --reason "seen by the team"
`,
    )
    .action(async (id: string, { reason, for: onBehalfOf }: { reason?: string; for?: string }) => {
      const approval = await answerApproval(await session.connect(), id, { approve: true, reason, onBehalfOf })
      session.terminal.answer(approval, describeAnswered(approval))
    })
}
export default configure
