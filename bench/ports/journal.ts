import { type Prepare, TENANT } from './port.ts'

/** An entry is appended, to a stream of its own. */
export const prepareJournal: Prepare<'journal'> = async (journal) => ({
  async one(index) {
    const entries = [{ kind: 'bench.noted', payload: { index, text: 'x'.repeat(100) } }]
    const [entry] = await journal.append({ tenant: TENANT, stream: `bench/${index}`, expectedSeq: 0, entries })
    if (entry?.seq !== 1) throw new Error(`The entry has the number ${entry?.seq}`)
  },
})
