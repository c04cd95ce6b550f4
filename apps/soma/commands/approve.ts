import { decideApproval } from '../follow-project.ts'
import type { Configure } from '../session.ts'

/** `soma approve` and `soma reject` are one command with two words. */
export function configureDecision(isApproval: boolean): Configure {
  const verb = isApproval ? 'approve' : 'reject'
  return (command, session) => {
    command
      .argument('<id>', 'Id of the approval, as "soma project watch" shows it')
      .option('--note <text>', 'Why; kept in the ledger')
      .addHelpText(
        'after',
        `
Whoever waits goes on at once. An approval is for exactly what was asked:
when an argument changes, it is asked again.

Example:
  $ soma ${verb} 4f0c2a… --note "seen by the team"
`,
      )
      .action(async (id: string, { note }: { note?: string }) => {
        const decided = await decideApproval(await session.connect(), id, isApproval, note)
        session.terminal.answer(decided, `${decided.status}: ${decided.summary}`)
      })
  }
}

export default configureDecision(true)
