import { z } from 'zod'

const tokens = {
  accessToken: z.string(),
  /** Of the access token, in milliseconds since 1970. */
  expiresAt: z.number(),
}

export const IssuerLogin = z.object({
  issuer: z.string(),
  clientId: z.string(),
  ...tokens,
  /** Without it a login ends with its access token. */
  refreshToken: z.string().optional(),
})
/** What a sign-in at an issuer of OpenID Connect got. */
export type IssuerLogin = z.infer<typeof IssuerLogin>

export const AccountLogin = z.object({ tenant: z.string(), ...tokens, refreshToken: z.string() })
/** What a sign-in with an account of the platform got. */
export type AccountLogin = z.infer<typeof AccountLogin>

export const Login = z.union([IssuerLogin, AccountLogin])
/** What a sign-in got for one server. */
export type Login = z.infer<typeof Login>
