import type { ServiceContext } from '@soma/kernel/http/service'

/**
 * Does work again and again, never two turns at once. A turn that fails is told of and tried again at its time.
 * @param milliseconds between the beginnings of turns
 * @returns how to stop; it waits for the turn that is under way
 */
export function repeat(
  work: () => Promise<void>,
  { milliseconds, logger, whenItFails }: { milliseconds: number; whenItFails: string } & Pick<ServiceContext, 'logger'>,
): () => Promise<void> {
  let turn: Promise<void> | undefined
  const timer = setInterval(() => {
    turn ??= work()
      .catch((error) => logger.warn({ err: error }, whenItFails))
      .finally(() => {
        turn = undefined
      })
  }, milliseconds)
  return async () => {
    clearInterval(timer)
    await turn
  }
}
