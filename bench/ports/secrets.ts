import { type Prepare, TENANT } from './port.ts'

const NAME = 'github/token'
const VALUE = 'x'.repeat(40)

/** A secret is read. */
export const prepareSecrets: Prepare<'secrets'> = async (secrets) => {
  await secrets.write(TENANT, NAME, VALUE)
  return {
    async one() {
      if ((await secrets.read(TENANT, NAME)) !== VALUE) throw new Error(`${NAME} is not what was written`)
    },
  }
}
