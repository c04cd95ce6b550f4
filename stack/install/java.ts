import type { Cache } from '../cache.ts'

const OLDEST_JAVA = 17

/**
 * Java and Maven are what the stack does not bring itself. Debian's packages of them do not run where they are merely unpacked: their
 * configuration and certificates are links into /etc.
 * @param command `java`, or `mvn`, which brings Java along
 * @throws with what to install
 */
export async function requireJava(cache: Cache, command: 'java' | 'mvn'): Promise<void> {
  const install = 'Install Java 17 or newer and Maven, e.g. with: apt-get install openjdk-17-jre-headless maven'
  const said = await cache.run(command, ['-version']).catch((cause) => {
    throw new Error(`"${command}" is not on the PATH, or does not run. ${install}`, { cause })
  })
  const [, version] = /(?:Java version: |version ")(\d+)/.exec(said) ?? []
  if (Number(version) < OLDEST_JAVA) throw new Error(`"${command}" runs on Java ${version}. ${install}`)
}
