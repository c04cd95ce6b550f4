/** What was taken from a partition and is not done yet: keys go on side by side, each in its order. */
export interface Window<Item> {
  /** Begins an item as soon as those of its key before it are done. */
  add(offset: bigint, key: string, item: Item): void
  /** Says that nothing is to be done for an item. */
  pass(offset: bigint): void
  /** Everything before it is done, so that a group may go on from there. */
  doneUpTo(): bigint
  /** Resolves when it is worth taking more, or when it is to stop. @throws what handling threw */
  room(): Promise<void>
  /** Resolves when nothing is in hand any more. @throws what handling threw */
  settled(): Promise<void>
}

/**
 * @param handle gives false when the item was not handled, and those of its key after it must not be either
 * @param options.size items that are taken and not done, at the most, before the next are taken: so many of a key that fails hold up no other key
 */
export function createWindow<Item>(
  start: bigint,
  handle: (item: Item) => Promise<boolean>,
  { size, stopping }: { size: number; stopping: AbortSignal },
): Window<Item> {
  /** In the order of the partition, as they were added. */
  const open = new Set<bigint>()
  const chains = new Map<string, Promise<boolean>>()
  let next = start
  let failure: { error: unknown } | undefined
  let changed: () => void = () => undefined
  stopping.addEventListener('abort', () => changed(), { once: true })

  async function handleAfter(before: Promise<boolean> | undefined, offset: bigint, item: Item): Promise<boolean> {
    if (before && !(await before)) return false
    try {
      if (!(await handle(item))) return false
      open.delete(offset)
      return true
    } catch (error) {
      failure ??= { error }
      return false
    } finally {
      changed()
    }
  }

  function throwFailure(): void {
    if (failure) throw failure.error
  }

  return {
    add(offset, key, item) {
      open.add(offset)
      next = offset + 1n
      const chain = handleAfter(chains.get(key), offset, item)
      chains.set(key, chain)
      // One that was not handled stays: it stands before whatever else of its key may come.
      void chain.then((isDone) => {
        if (isDone && chains.get(key) === chain) chains.delete(key)
      })
    },
    pass(offset) {
      next = offset + 1n
    },
    doneUpTo() {
      const [first] = open
      return first ?? next
    },
    async room() {
      while (open.size >= size && !failure && !stopping.aborted) {
        await new Promise<void>((resolve) => {
          changed = resolve
        })
      }
      throwFailure()
    },
    async settled() {
      await Promise.all(chains.values())
      throwFailure()
    },
  }
}
