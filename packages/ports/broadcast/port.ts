/**
 * Says something to every process at once, the speaker's own included. Not durable: who is away misses it, so a receiver that
 * reconnects must look for itself. Messages of one publisher that waits for each `publish` arrive in order.
 */
export interface Broadcast {
  /** @param message anything JSON can say, at most 8 MiB
   * @throws `invalid_input` */
  publish(channel: string, message: unknown): Promise<void>
  /**
   * @param handler gets each message of the channel. One that throws is warned of and keeps no other from hearing.
   * @param onReconnect is called when messages may have been missed
   * @returns how to stop: nothing is heard after it was called
   */
  subscribe(channel: string, handler: (message: unknown) => void, onReconnect?: () => void): Promise<() => Promise<void>>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  close(): Promise<void>
}
