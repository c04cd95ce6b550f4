import { SomaError } from '@soma/contracts/errors'
import type { Models } from './port.ts'

/** For installations without models: says how to get some. */
export function openNoModels(): Models {
  const refuse = async (): Promise<never> => {
    throw new SomaError(
      'dependency_unavailable',
      'No model server is configured. Set SOMA_DRIVERS_MODELS=openai, and SOMA_MODELS_URL to any server that speaks the OpenAI API.',
      { retryable: false },
    )
  }
  return {
    async *chat() {
      yield await refuse()
    },
    embed: refuse,
    list: refuse,
    version: refuse,
    close: async () => undefined,
  }
}
