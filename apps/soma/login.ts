import { z } from 'zod'

export const Login = z.object({
  issuer: z.string(),
  clientId: z.string(),
  accessToken: z.string(),
  /** Without it a login ends with its access token. */
  refreshToken: z.string().optional(),
  /** Of the access token, in milliseconds since 1970. */
  expiresAt: z.number(),
})
/** What a sign-in got for one server. */
export type Login = z.infer<typeof Login>
