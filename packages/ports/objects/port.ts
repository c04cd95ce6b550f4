import type { ObjectRef } from '@soma/contracts/operation'

/**
 * Content-addressed storage, a separate space per tenant. Writing the same content twice is one object. What `put` has confirmed
 * survives a crash, and a crash leaves no half object. Every method throws `invalid_input` for what is no tenant or no digest.
 */
export interface Objects {
  /**
   * The object's media type is the one given last; the reference a caller gets back says the one it gave.
   * @throws `disk_full`
   */
  put(tenant: string, content: Uint8Array, mediaType: string): Promise<ObjectRef>
  /** @throws `not_found`; `digest_mismatch` when what is stored is not what was put, which putting the content again repairs */
  get(tenant: string, digest: string): Promise<Uint8Array>
  /** What is stored, without reading it through. */
  stat(tenant: string, digest: string): Promise<ObjectRef | undefined>
  /** Deleting what is not there is no error. */
  delete(tenant: string, digest: string): Promise<void>
  /** In the order of digests. `after`: the last digest of the page before; `limit`: from 1 to 1000, default 100. */
  list(tenant: string, options?: { after?: string; limit?: number }): Promise<ObjectRef[]>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  close(): Promise<void>
}

/** Bytes of one object at the most: what Node reads in one piece. */
export const MAX_OBJECT_BYTES = 2 ** 31 - 1
