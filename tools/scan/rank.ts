import { operation } from '@soma/contracts/operation'
import { gradeOf } from './area.ts'
import { rankFixes } from './rankFixes.ts'
import { RankInput } from './rankInput.ts'
import { RankReport } from './rankReport.ts'
import { scoreAreas } from './scoreAreas.ts'

export const rank = operation({
  name: 'scan.rank',
  summary: 'Score each area of a repository and rank what to fix first',
  description:
    'Pure arithmetic on what the other scans found: the same reports always give the same scores, each with its sum shown. An area that no report was given for is not assessed and does not count.',
  input: RankInput,
  output: RankReport,
  effect: 'read',
  capability: 'tool.scan.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  async run(input) {
    const { areas, notAssessed } = scoreAreas(input)
    const weights = areas.reduce((sum, { weight }) => sum + weight, 0)
    const points = areas.reduce((sum, { score, weight }) => sum + score * weight, 0)
    const score = weights === 0 ? 0 : Math.round(points / weights)
    const terms = areas.map(({ area, score, weight }) => `${area} ${score} × ${weight}`).join(' + ')
    return {
      score,
      grade: gradeOf(score),
      arithmetic: weights === 0 ? 'Nothing was assessed.' : `(${terms}) ÷ ${weights} = ${score}`,
      areas,
      notAssessed,
      fixes: rankFixes(input).slice(0, input.limit),
    }
  },
})
