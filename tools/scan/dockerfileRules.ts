import { DockerfileParser, type From, type Instruction } from 'dockerfile-ast'
import type { Finding } from './finding.ts'
import { isMovingTag, namesSecret } from './imageRules.ts'

/** Well-known mistakes in a Dockerfile. */
export function checkDockerfile(path: string, text: string): Finding[] {
  const file = DockerfileParser.parse(text)
  const froms = file.getFROMs()
  if (froms.length === 0) {
    return [
      {
        rule: 'infrastructure.unreadable',
        severity: 'medium',
        path,
        message: 'The Dockerfile has no FROM.',
        advice: 'Correct or remove it.',
      },
    ]
  }
  const findings: Finding[] = []
  const add = (instruction: Instruction, rule: string, severity: Finding['severity'], message: string, advice: string) =>
    findings.push({ rule: `docker.${rule}`, severity, path, line: (instruction.getRange()?.start.line ?? 0) + 1, message, advice })

  const stages = new Set(froms.flatMap((from) => from.getBuildStage()?.toLowerCase() ?? []))
  for (const from of froms) {
    if (movesBase(from, stages))
      add(
        from,
        'latest-tag',
        'medium',
        `The base image "${from.getImage()}" is whatever is newest that day.`,
        'Name a version, better a digest.',
      )
  }
  for (const instruction of file.getInstructions()) {
    const words = instruction.getArgumentsContent() ?? ''
    const keyword = instruction.getKeyword()
    if (keyword === 'ADD' && /https?:\/\//.test(words) && !/--checksum=/.test(instruction.getTextContent())) {
      add(
        instruction,
        'add-url',
        'medium',
        'ADD fetches from an address and checks nothing.',
        'Fetch it in RUN and check its digest, or give ADD --checksum.',
      )
    }
    if (keyword === 'RUN' && /\b(curl|wget)\b[^|;&]*\|\s*(sudo\s+)?(ba|z|da)?sh\b/.test(words)) {
      add(
        instruction,
        'pipe-to-shell',
        'medium',
        'A script is fetched and run unseen.',
        'Fetch a fixed version, check its digest, then run it.',
      )
    }
    if (keyword === 'RUN' && /(^|[\s;&|])sudo\s/.test(words))
      add(instruction, 'sudo', 'low', 'sudo is used while building.', 'Use USER to change the user.')
    if (keyword === 'ENV' || keyword === 'ARG') {
      for (const [, name = '', value = ''] of words.matchAll(/([A-Za-z_]\w*)[= ]\s*("[^"]*"|'[^']*'|\S+)/g)) {
        if (namesSecret(name, value))
          add(
            instruction,
            'secret-in-image',
            'high',
            `${keyword} ${name} puts a secret into the image, readable by whoever has it.`,
            'Give it at run time, or with RUN --mount=type=secret.',
          )
      }
    }
  }
  findings.push(...rootUser(path, file.getInstructions(), froms))
  return findings
}

function movesBase(from: From, stages: Set<string>): boolean {
  const image = from.getImageName() ?? ''
  if (image === '' || image === 'scratch' || image.includes('$') || stages.has(image.toLowerCase())) return false
  return isMovingTag(from.getImage() ?? image)
}

/** Only the last stage is what runs. */
function rootUser(path: string, instructions: Instruction[], froms: From[]): Finding[] {
  const last = froms.at(-1)?.getRange()?.start.line ?? 0
  const user = instructions.filter((one) => one.getKeyword() === 'USER' && (one.getRange()?.start.line ?? 0) >= last).at(-1)
  const name = user?.getArgumentsContent()?.split(':')[0]
  if (name !== undefined && name !== 'root' && name !== '0') return []
  const line = (user?.getRange()?.start.line ?? last) + 1
  return [
    {
      rule: 'docker.root-user',
      severity: 'medium',
      path,
      line,
      message: 'The container runs as root.',
      advice: 'Make a user and name it with USER in the last stage.',
    },
  ]
}
