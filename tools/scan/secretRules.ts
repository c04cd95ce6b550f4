import { createHash } from 'node:crypto'
import { lintSource } from '@secretlint/core'
import { creator as preset } from '@secretlint/secretlint-rule-preset-recommend'

/** A secret that a rule recognised. The secret itself is not in here. */
export interface FoundSecret {
  rule: string
  kind: string
  message: string
  masked: string
  fingerprint: string
  line: number
}

/**
 * What matches of the preset's rules contain. One pass over the text with this expression spares most files the rules, which set
 * themselves up anew for each file. A test proves for each kind of secret it has a sample of that it is let through.
 */
const SUSPICIOUS = new RegExp(
  [
    '(?:SECRET|secret|Secret)_?(?:ACCESS|access|Access)_?(?:KEY|key|Key)',
    String.raw`-----BEGIN[^-\n]{0,20}PRIVATE KEY`,
    'x-oauth-basic@',
    '_authToken=',
    'npm_[A-Za-z0-9_]{36}',
    'xox[bpaor]-|xapp-',
    String.raw`[hH][oO][oO][kK][sS]\.[sS][lL][aA][cC][kK]\.`,
    'T3BlbkFJ',
    'sk-ant-api0',
    'gsk_[a-zA-Z0-9]{52}',
    'hf_[a-zA-Z]{34}',
    'lin_api_',
    'ntn_[0-9]{11}',
    String.raw`SG\.\w{1,128}\.\w`,
    'shp(?:pa|ca|at|ss)_',
    'gh[pousr]_[A-Za-z0-9_]{36}',
    'github_pat_',
    'glpat-',
    'gl(?:c|sa)_',
    'ops_ey',
    String.raw`hv[sbr]\.`,
    'vc[piark]_[A-Za-z0-9]{20}',
    'dapi[A-Fa-f0-9]{32}',
    'dckr_pat_',
    'figd_',
    String.raw`:\/\/[^\s:\/]{1,256}:[^\s\/@]{1,256}@`,
  ].join('|'),
)

const CONFIG = { rules: [{ id: '@secretlint/secretlint-rule-preset-recommend', rule: preset }] }

/** What stands where a secret would: a variable, a hint to the reader, one character repeated. */
const PLACEHOLDER = /^["']?([<{$%*]|(.)\2+["']?$)|\$\{|your[-_ ]|placeholder|changeme/i

/**
 * The secrets in a text file.
 * @returns undefined when the prefilter saw nothing that any rule could find
 */
export async function findSecrets(content: Buffer, path: string): Promise<FoundSecret[] | undefined> {
  if (!SUSPICIOUS.test(content.toString('latin1'))) return undefined
  const text = content.toString('utf8')
  const dot = path.lastIndexOf('.')
  const ext = dot > path.lastIndexOf('/') ? path.slice(dot) : ''
  const { messages } = await lintSource({
    source: { content: text, filePath: path, ext, contentType: 'text' },
    options: { config: CONFIG, noPhysicFilePath: true },
  })
  return messages.flatMap((message) => {
    const secret = secretOf(message.data, text.slice(...message.range))
    if (PLACEHOLDER.test(secret)) return []
    const rule = message.ruleId.replace(/^.*secretlint-rule-/, '')
    return [
      {
        rule,
        kind: message.messageId,
        message: `${TITLES[rule] ?? `A secret by the rule ${rule}`} (${message.messageId})`,
        masked: masked(secret),
        fingerprint: `sha256:${createHash('sha256').update(secret).digest('hex')}`,
        line: Math.max(1, message.loc.start.line),
      },
    ]
  })
}

const TITLES: Record<string, string> = {
  aws: 'A key of Amazon Web Services',
  gcp: 'A key of a Google Cloud service account',
  privatekey: 'A private key',
  npm: 'An access token of npm',
  basicauth: 'A user name and password in an address',
  slack: 'A token of Slack',
  github: 'A token of GitHub',
  gitlab: 'A token of GitLab',
  'database-connection-string': 'A database address with its password',
}

/** Rules report the secret among the values of their message; the range of some of them is shifted. */
function secretOf(data: unknown, inRange: string): string {
  const values = Object.entries((data ?? {}) as Record<string, unknown>)
  const texts = values.flatMap(([name, value]) =>
    typeof value === 'string' && /^[A-Z_]+$/.test(name) && name !== 'FILE_NAME' ? [value] : [],
  )
  return texts.sort((a, b) => b.length - a.length)[0] ?? inRange
}

function masked(secret: string): string {
  const shown = secret.length >= 12 ? secret.slice(0, 4).replace(/\s/g, ' ') : ''
  return `${shown}… (${secret.length} characters)`
}
