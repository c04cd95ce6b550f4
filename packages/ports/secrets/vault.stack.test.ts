import { fromStack } from '../testing.ts'
import { secretsConformance } from './conformance.ts'
import { openVaultSecrets } from './vault.ts'

const onTrouble = (error: unknown) => {
  throw error
}
secretsConformance('vault', () =>
  openVaultSecrets({ url: fromStack('SOMA_VAULT_URL'), token: fromStack('SOMA_VAULT_TOKEN'), mount: 'secret', onTrouble }),
)
