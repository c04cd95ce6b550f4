import type { Cache } from '../cache.ts'
import { requireJava } from './java.ts'

const UNPACK = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack'

/**
 * A distribution from Maven Central, unpacked. Maven checks the sums.
 * @param name names content and version in the cache
 * @param artifact `org.keycloak:keycloak-quarkus-dist:26.7.3:zip`
 * @param prepare what is done with it once, before it counts as installed
 */
export function installMavenArchive(
  cache: Cache,
  name: string,
  artifact: string,
  prepare: (folder: string) => Promise<void>,
): Promise<string> {
  return cache.once(`maven/${name}`, async (draft) => {
    await requireJava(cache, 'mvn')
    const options = [`-Dartifact=${artifact}`, `-DoutputDirectory=${draft}`]
    await cache.run('mvn', ['--batch-mode', '--quiet', '--strict-checksums', UNPACK, ...options])
    await prepare(draft)
  })
}
