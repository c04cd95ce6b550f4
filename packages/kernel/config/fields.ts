import { z } from 'zod'

/** Text that is never printed. */
export const secret = (description: string) => z.string().min(1).describe(description).meta({ secret: true })
export const url = (description: string) => z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).describe(description)
