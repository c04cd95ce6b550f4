import { expect, test } from 'vitest'
import { openNoModels } from './none.ts'

test('without models every call says which settings bring some', async () => {
  const models = openNoModels()
  const advice = { code: 'dependency_unavailable', message: expect.stringMatching(/SOMA_DRIVERS_MODELS=openai.*SOMA_MODELS_URL/) }
  await expect(models.chat({ messages: [] })[Symbol.asyncIterator]().next()).rejects.toMatchObject(advice)
  await expect(models.embed({ texts: ['a'] })).rejects.toMatchObject(advice)
  await expect(models.list()).rejects.toMatchObject(advice)
  await expect(models.version()).rejects.toMatchObject(advice)
  await models.close()
})
