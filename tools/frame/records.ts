/** Cuts a stream of bytes at a separator (NUL by default), giving all records of a chunk at a time: a call per record would cost more than the work. */
export async function* recordsOf(chunks: AsyncIterable<Buffer>, separator = 0): AsyncGenerator<Buffer[], void, void> {
  let begun: Buffer[] = []
  for await (const chunk of chunks) {
    const records: Buffer[] = []
    let from = 0
    for (let end = chunk.indexOf(separator); end !== -1; end = chunk.indexOf(separator, from)) {
      const rest = chunk.subarray(from, end)
      records.push(begun.length === 0 ? rest : Buffer.concat([...begun, rest]))
      begun = []
      from = end + 1
    }
    if (from < chunk.length) begun.push(chunk.subarray(from))
    if (records.length > 0) yield records
  }
  if (begun.length > 0) yield [Buffer.concat(begun)]
}
