import { SomaError } from '@soma/contracts/errors'
import { z } from 'zod'

/** Something that the server stands on. */
export interface Dependency {
  /** `sql`, `locks` */
  name: string
  /** Which driver of the port, `redis`. */
  driver: string
  /** Without it no request can be answered rightly, so the server is not ready. Without the others some work waits or is refused. */
  isRequired: boolean
  /** Asks it; says its version. */
  version(): Promise<string>
}

export const DependencyReport = z.object({
  driver: z.string(),
  required: z.boolean(),
  ok: z.boolean(),
  version: z.string().optional().describe('As the server behind it says it.'),
  detail: z.string().optional().describe('What is wrong.'),
  milliseconds: z.number().describe('How long the answer took.'),
})
export type DependencyReport = z.infer<typeof DependencyReport>

const PATIENCE_MILLISECONDS = 2000

/** Asks every dependency at once. One that does not answer within two seconds is not well. */
export async function checkDependencies(dependencies: readonly Dependency[]): Promise<Record<string, DependencyReport>> {
  return Object.fromEntries(
    await Promise.all(dependencies.map(async (dependency) => [dependency.name, await checkDependency(dependency)] as const)),
  )
}

async function checkDependency({ driver, isRequired, version }: Dependency): Promise<DependencyReport> {
  const startedAt = performance.now()
  const report = (more: Pick<DependencyReport, 'ok' | 'version' | 'detail'>) => ({
    driver,
    required: isRequired,
    ...more,
    milliseconds: Math.round((performance.now() - startedAt) * 10) / 10,
  })
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    const late = new SomaError('dependency_unavailable', `no answer in ${PATIENCE_MILLISECONDS / 1000} s`)
    timer = setTimeout(() => reject(late), PATIENCE_MILLISECONDS)
  })
  try {
    return report({ ok: true, version: await Promise.race([version(), timeout]) })
  } catch (error) {
    // Only our own sentences are shown: a driver's may hold an address or a password.
    return report({ ok: false, detail: SomaError.is(error) ? error.message : 'does not answer' })
  } finally {
    clearTimeout(timer)
  }
}
