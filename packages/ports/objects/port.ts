import type { ObjectRef } from '@soma/contracts/operation'

/** Content-addressed storage, a separate space per tenant. Writing the same content twice is one object. */
export interface Objects {
  put(tenant: string, content: Uint8Array, mediaType: string): Promise<ObjectRef>
  /** @throws `not_found`; `digest_mismatch` when what is stored is not what was put */
  get(tenant: string, digest: string): Promise<Uint8Array>
  stat(tenant: string, digest: string): Promise<ObjectRef | undefined>
  delete(tenant: string, digest: string): Promise<void>
  list(tenant: string, options?: { after?: string; limit?: number }): Promise<ObjectRef[]>
  close(): Promise<void>
}
