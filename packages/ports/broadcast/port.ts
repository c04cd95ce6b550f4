/** Says something to every process at once. Not durable: who is away misses it, so a receiver that reconnects must look for itself. */
export interface Broadcast {
  publish(channel: string, message: unknown): Promise<void>
  /** `onReconnect` is called when messages may have been missed. Returns how to stop. */
  subscribe(channel: string, handler: (message: unknown) => void, onReconnect?: () => void): Promise<() => Promise<void>>
  close(): Promise<void>
}
