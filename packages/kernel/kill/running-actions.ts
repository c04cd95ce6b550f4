import { covers, type KillSubject, type KillSwitch, killedBy } from './kill-switch.ts'

/** An action whose call is under way in this process. */
export interface RunningAction {
  subject: KillSubject
  operation: string
  /** Idempotency key: the stream `action/<key>` is its record. */
  key: string
  /** Whether the call may be ended in its midst. */
  canBeEnded: boolean
}

export interface RunningCall {
  /** Aborted with `killed` when a switch covers the action and the call may be ended. */
  signal: AbortSignal
  /** The switch that was pulled while the call was under way, if one was. */
  stoppedBy(): KillSwitch | undefined
  /** The call is over. */
  end(): void
}

export type RunningActions = ReturnType<typeof createRunningActions>

/** The actions that are under way in this process, so that a switch meets them as well. */
export function createRunningActions() {
  const running = new Map<RunningAction, (entry: KillSwitch) => void>()
  return {
    begin(action: RunningAction): RunningCall {
      const controller = new AbortController()
      let stoppedBy: KillSwitch | undefined
      running.set(action, (entry) => {
        stoppedBy ??= entry
        if (action.canBeEnded) controller.abort(killedBy(entry))
      })
      return { signal: controller.signal, stoppedBy: () => stoppedBy, end: () => void running.delete(action) }
    },
    /** These switches hold from now on. */
    meet(switches: readonly KillSwitch[]): void {
      for (const [action, stop] of [...running]) {
        const entry = switches.find((each) => covers(each, action.subject))
        if (entry) stop(entry)
      }
    },
    coveredBy(entry: Pick<KillSwitch, 'tenant' | 'scope' | 'target'>): RunningAction[] {
      return [...running.keys()].filter(({ subject }) => covers(entry, subject))
    },
  }
}
