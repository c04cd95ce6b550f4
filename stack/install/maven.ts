import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cache } from '../cache.ts'
import { requireJava } from './java.ts'

const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'

/**
 * A Java program with everything it needs, from Maven Central. Maven checks the sums; the program pins what it needs.
 * @param name names content and version in the cache
 * @param artifacts `org.apache.kafka:kafka_2.13:4.4.0`
 * @returns the folder of its jars
 */
export async function installMaven(cache: Cache, name: string, artifacts: readonly string[]): Promise<string> {
  const folder = await cache.once(`maven/${name}`, async (draft) => {
    await requireJava(cache, 'mvn')
    const project = join(draft, 'pom.xml')
    await writeFile(project, projectOf(artifacts))
    const options = ['-DincludeScope=runtime', `-DoutputDirectory=${join(draft, 'jars')}`]
    await cache.run('mvn', ['--batch-mode', '--quiet', '--strict-checksums', '--file', project, COPY, ...options])
  })
  return join(folder, 'jars')
}

function projectOf(artifacts: readonly string[]): string {
  const dependencies = artifacts.map((artifact) => {
    const [group, name, version] = artifact.split(':')
    return `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`
  })
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>soma</groupId><artifactId>stack</artifactId><version>1</version>
  <dependencies>
    ${dependencies.join('\n    ')}
  </dependencies>
</project>
`
}
