import { readFile, writeFile } from 'node:fs/promises'
import { capsuleDigest } from '@soma/capsule/digest'
import { runCapsuleTests } from '@soma/capsule/run-tests'
import { signDigest } from '@soma/capsule/signature'
import { CapsuleName } from '@soma/contracts/capsule'
import { SomaError } from '@soma/contracts/errors'
import { answerOf } from '@soma/sdk/client'
import { readCapsuleFile, readSignatures, type SignatureFile, signatureFileOf } from '../capsule-file.ts'
import { capsuleTemplate } from '../capsule-template.ts'
import { EXIT } from '../exit-codes.ts'
import { addRunOptions, findVersion, isFile, type RunOptions, runCapsule } from '../run-capsule.ts'
import { type Configure, type Session, UsageError } from '../session.ts'
import { count, table } from '../text.ts'

const configure: Configure = (command, session) => {
  command.addHelpText(
    'after',
    `
Examples:
  $ soma capsule init hello              writes hello.capsule.yaml
  $ soma capsule validate hello.capsule.yaml
  $ soma capsule test hello.capsule.yaml
  $ soma capsule run hello.capsule.yaml --sign --input repository=$PWD

init, validate and test need no server.
`,
  )
  command
    .command('init <name>')
    .description('Write a capsule to begin with')
    .option('--output <file>', 'Where to (default: NAME.capsule.yaml)')
    .action((name: string, { output }: { output?: string }) => init(session, name, output))
  command
    .command('validate <files...>')
    .description('Find everything that is wrong with capsules')
    .action((files: string[]) => validate(session, files))
  command
    .command('test <files...>')
    .description("Run capsules' tests from what they recorded")
    .action((files: string[]) => test(session, files))
  command
    .command('sign <capsule>')
    .description('Sign a file with a key of yours, or a capsule with the server')
    .option('--key <file>', 'Ed25519 private key, PEM: openssl genpkey -algorithm ed25519')
    .addHelpText(
      'after',
      `
With --key the signature is written beside the file, without a server.
Without it the server keeps the capsule and signs it with its own key.

Examples:
  $ soma capsule sign hello.capsule.yaml
  $ soma capsule sign hello@0.1.0
  $ soma capsule sign hello.capsule.yaml --key mine.pem
`,
    )
    .action((capsule: string, { key }: { key?: string }) => (key ? signWithKey(session, capsule, key) : signByServer(session, capsule)))
  addRunOptions(command.command('run <capsule>').description('The same as "soma run"')).action((capsule: string, options: RunOptions) =>
    runCapsule(session, capsule, options),
  )
  command
    .command('list')
    .description('Capsules that the server has')
    .action(() => list(session))
}
export default configure

async function init(session: Session, name: string, output: string | undefined): Promise<void> {
  const checked = CapsuleName.safeParse(name)
  if (!checked.success) throw new UsageError(`"${name}" is no name for a capsule. ${checked.error.issues[0]?.message}`)
  const file = output ?? `${name}.capsule.yaml`
  await writeFile(file, capsuleTemplate(name), { flag: 'wx' }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EEXIST') throw new SomaError('conflict', `${file} is there already. Choose another with --output.`, { file })
    throw new UsageError(`${file} can not be written (${cause.code}).`, { file })
  })
  session.terminal.answer({ file }, `Wrote ${file}. Try it: ${session.typed(`capsule test ${file}`)}`)
}

interface Checked {
  file: string
  capsule?: string
  digest?: string
  problems: unknown[]
  text: string
}

async function validate(session: Session, files: string[]): Promise<void> {
  const { paint } = session.terminal
  const results = await Promise.all(
    files.map(async (file): Promise<Checked> => {
      try {
        const { capsule, digest } = await readCapsuleFile(file)
        const name = `${capsule.metadata.name}@${capsule.metadata.version}`
        return { file, capsule: name, digest, problems: [], text: `${paint.green('valid')}  ${name}  ${digest}` }
      } catch (error) {
        if (!SomaError.is(error, 'capsule_invalid')) throw error
        return { file, problems: (error.details.problems as unknown[]) ?? [error.message], text: error.message }
      }
    }),
  )
  const isValid = results.every(({ problems }) => problems.length === 0)
  session.exitCode = isValid ? EXIT.done : EXIT.failed
  session.terminal.answer(
    { valid: isValid, capsules: results.map(({ text: _, ...rest }) => rest) },
    results.map(({ text }) => text).join('\n'),
  )
}

async function test(session: Session, files: string[]): Promise<void> {
  const { capsuleWorkflow } = await import('@soma/services/orchestrator/workflows/capsule.workflow')
  const { paint } = session.terminal
  const capsules = []
  const lines: string[] = []
  for (const file of files) {
    const { capsule } = await readCapsuleFile(file)
    const name = `${capsule.metadata.name}@${capsule.metadata.version}`
    const tests = await runCapsuleTests(capsule, capsuleWorkflow.run)
    capsules.push({ file, capsule: name, tests })
    lines.push(`${name}  ${count(tests.length, 'test')}`)
    for (const { name: title, passed, problems } of tests)
      lines.push(`  ${passed ? paint.green('pass') : paint.red('fail')}  ${title}`, ...problems.map((problem) => `        ${problem}`))
  }
  const all = capsules.flatMap(({ tests }) => tests)
  const passed = all.filter((each) => each.passed).length
  session.exitCode = passed === all.length ? EXIT.done : EXIT.failed
  session.terminal.answer(
    { passed, failed: all.length - passed, capsules },
    [...lines, `${passed} passed, ${all.length - passed} failed`].join('\n'),
  )
}

async function signWithKey(session: Session, file: string, keyFile: string): Promise<void> {
  const { capsule, digest } = await readCapsuleFile(file)
  const key = await readFile(keyFile, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`The key ${keyFile} can not be read (${cause.code}).`)
  })
  const signature = signDigest(digest, key, new Date())
  const before = await readSignatures({ file, capsule, digest, yaml: '' }).catch((error: unknown) => {
    // A signature of what the capsule was before is replaced.
    if (SomaError.is(error, 'signature_invalid')) return []
    throw error
  })
  const signed: SignatureFile = {
    capsule: `${capsule.metadata.name}@${capsule.metadata.version}`,
    digest: capsuleDigest(capsule),
    signatures: [...before.filter(({ keyId }) => keyId !== signature.keyId), signature],
  }
  await writeFile(signatureFileOf(file), `${JSON.stringify(signed, null, 2)}\n`)
  session.terminal.answer(
    { ...signed, file: signatureFileOf(file) },
    `Signed ${signed.capsule} by ${signature.keyId}: ${signatureFileOf(file)}`,
  )
}

async function signByServer(session: Session, which: string): Promise<void> {
  const { client } = await session.connect()
  const { name, version } = (await isFile(which)) ? await upload(session, which) : await findVersion(client, which)
  const stored = await answerOf(client.POST('/v1/capsules/{name}/{version}/sign', { params: { path: { name, version } } }))
  const signers = stored.signatures.map(({ keyId }) => keyId)
  session.terminal.answer(
    { name, version, digest: stored.digest, signedBy: signers },
    `Signed ${name}@${version} by ${signers.join(', ')}. It never changes from now on.`,
  )
}

async function upload(session: Session, file: string): Promise<{ name: string; version: string }> {
  const { client } = await session.connect()
  const { yaml } = await readCapsuleFile(file)
  return answerOf(client.POST('/v1/capsules', { body: { yaml, signatures: [] } }))
}

async function list(session: Session): Promise<void> {
  const { client } = await session.connect()
  const page = await answerOf(client.GET('/v1/capsules', { params: { query: { limit: 100 } } }))
  const rows = page.items.map(({ name, version, status, summary }) => [`${name}@${version}`, status, summary])
  session.terminal.answer(page.items, rows.length > 0 ? table(rows, session.terminal.width) : 'There are no capsules.')
}
