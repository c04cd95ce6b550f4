import type { z } from 'zod'
import type { Effect } from './policy.ts'

/** Content kept outside the journal, addressed by what it is. */
export interface ObjectRef {
  /** `sha256:` and 64 hex digits. */
  digest: string
  /** Bytes. */
  size: number
  mediaType: string
}

/** What an operation may use besides its input. Everything that touches the world comes in here, so nothing goes past the gate. */
export interface OperationContext<Client> {
  client: Client
  tenant: string
  /** Idempotency key: run + step. Two calls with one key are one call. */
  key: string
  /** Aborts on time-out and cancellation, and by a kill switch when the operation may be ended in its midst. */
  signal: AbortSignal
  /** A folder of the run's own; file operations stay inside it. Absolute path. */
  workspace: string
  /** `fetch` behind the egress guard; the only way out of the machine. */
  fetch: typeof fetch
  /** Says how far the call is. `fraction` from 0 to 1. */
  progress(message: string, fraction?: number): void
  objects: {
    put(content: Uint8Array, mediaType: string): Promise<ObjectRef>
    get(digest: string): Promise<Uint8Array>
  }
}

/**
 * How an intent without an outcome is settled after a crash.
 * - `native`: the vendor takes our key; send it again.
 * - `marker`: look for what was made; `find` gives the outcome or undefined when it did not happen.
 * - `read`: it changes nothing; do it again.
 * - `none`: it can't be told; the run stops and a person decides.
 */
export type Idempotency<Input, Output, Client> =
  | { kind: 'native' }
  | { kind: 'marker'; find(input: Input, context: OperationContext<Client>): Promise<Output | undefined> }
  | { kind: 'read' }
  | { kind: 'none' }

export interface Operation<Input = unknown, Output = unknown, Client = unknown> {
  /** `adapter.resource.verb` or `adapter.verb`: `git.log`, `github.issues.create`. */
  name: string
  summary: string
  description?: string
  input: z.ZodType<Input>
  output: z.ZodType<Output>
  effect: Effect
  /** `tool.<adapter>.read`, `.write` or `.destroy` unless the operation needs its own. */
  capability: string
  idempotency: Idempotency<Input, Output, Client>
  /** The operation that takes it back, if one does. */
  reversedBy?: string
  /** Seconds before the call is aborted. Default 60. */
  timeoutSeconds?: number
  /**
   * True when a kill switch may end the call in its midst: it heeds `signal`, leaves nothing half done, and its idempotency says afterwards
   * whether it happened. What only reads always may.
   */
  canBeEnded?: true
  /** Facts about the target that rules can test: path, host, repository. No secrets. */
  resource?(input: Input): Record<string, unknown>
  /** True when what comes back was written outside the platform and must be carried as untrusted data. */
  untrustedOutput?: boolean
  /** Says what `run` would give, and changes nothing. What rules let happen only as a dry run is refused without it. */
  dryRun?(input: Input, context: OperationContext<Client>): Promise<Output>
  run(input: Input, context: OperationContext<Client>): Promise<Output>
}

/** Declares an operation; the types of input and output follow from the schemas. */
export function operation<Input, Output, Client = unknown>(declared: Operation<Input, Output, Client>): Operation<Input, Output, Client> {
  return declared
}

export interface Adapter<Client = unknown> {
  name: string
  title: string
  summary: string
  /** Where its untrusted outputs come from, for rules that tell sources apart: they are labelled `untrusted.<source>`. */
  source?: 'web' | 'repository'
  // biome-ignore lint/suspicious/noExplicitAny: a list of operations with different inputs has no common narrower type
  operations: Operation<any, any, Client>[]
  /** Makes the client once per process. Throws `tool_unavailable` with what to do when what it needs is missing. */
  connect(): Promise<Client>
  /** Gives back what the client holds (processes, connections) when the platform stops. */
  close?(client: Client): Promise<void>
  /** Is what the adapter needs there? Cheap; never throws. */
  health(): Promise<{ ok: boolean; detail: string }>
}

export function adapter<Client>(declared: Adapter<Client>): Adapter<Client> {
  return declared
}
