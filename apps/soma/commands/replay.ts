import type { Capsule } from '@soma/contracts/capsule'
import { answerOf } from '@soma/sdk/client'
import { readCapsuleFile } from '../capsule-file.ts'
import { EXIT } from '../exit-codes.ts'
import type { Configure } from '../session.ts'

const configure: Configure = (command, session) => {
  command
    .argument('<run>', 'Id of a finished run or project')
    .option('--capsule <file>', 'A changed capsule, to see where it departs')
    .addHelpText(
      'after',
      `
Runs it again from its record; nothing outside is touched. Exit code 0: the
same came out; 1: it departs, and where.

Examples:
  $ soma replay run-m3x1…
  $ soma replay run-m3x1… --capsule ./report.capsule.yaml
`,
    )
    .action(async (run: string, { capsule: file }: { capsule?: string }) => {
      const capsule: Capsule | undefined = file ? (await readCapsuleFile(file)).capsule : undefined
      const { client } = await session.connect()
      const result = await answerOf(
        client.POST('/v1/runs/{id}/replay', { params: { path: { id: run } }, body: capsule ? { capsule } : {} }),
      )
      const { paint } = session.terminal
      const lines = result.runs.map(({ runId, workflow, matched, same, departure }) => {
        const words = `${runId}  ${workflow}  ${matched} steps as recorded`
        if (same) return `${paint.green('same')}     ${words}`
        const where = departure
          ? `step ${departure.step}${departure.label ? ` (${departure.label})` : ''}: expected ${departure.expected}, got ${departure.got}`
          : 'another result came out'
        return `${paint.red('departs')}  ${words}\n         ${where}`
      })
      session.exitCode = result.same ? EXIT.done : EXIT.failed
      session.terminal.answer(result, lines.join('\n'))
    })
}
export default configure
