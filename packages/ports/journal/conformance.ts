import { contentDigest, entryHash, GENESIS, type JournalEntry, sha256 } from '@soma/contracts/journal'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EVERY_TENANT, type Journal, type StoredEntry } from './port.ts'

/** What every journal promises. `openSecond` opens another process's view of the same journal. */
export function journalConformance(
  driver: string,
  open: () => Promise<{ journal: Journal; openSecond(): Promise<Journal>; close(): Promise<void> }>,
): void {
  describe(`journal: ${driver}`, () => {
    let journal: Journal
    let second: Journal
    let close: () => Promise<void>
    beforeAll(async () => {
      const opened = await open()
      journal = opened.journal
      second = await opened.openSecond()
      close = async () => {
        await second.close()
        await opened.close()
      }
    })
    afterAll(() => close())

    const note = (text: string) => ({ kind: 'note', payload: { text } })
    const one = (stream: string, expectedSeq: number | 'any', text = 'x') =>
      journal.append({ tenant: 'acme', stream, expectedSeq, entries: [note(text)] })

    test('the newest entries of some streams come first, and no others', async () => {
      await journal.append({ tenant: 'acme', stream: 'day/1/a', expectedSeq: 0, entries: [note('1'), note('2')] })
      await journal.append({ tenant: 'acme', stream: 'day/2/a', expectedSeq: 0, entries: [{ kind: 'other', payload: {} }] })
      await journal.append({ tenant: 'acme', stream: 'day/1/b', expectedSeq: 0, entries: [note('3')] })
      await journal.append({ tenant: 'initech', stream: 'day/1/a', expectedSeq: 0, entries: [note('4')] })
      const texts = async (streamPrefix: string, limit: number) =>
        (await journal.newest({ tenant: 'acme', streamPrefix, kinds: ['note'], limit })).map(
          ({ payload }) => (payload as { text: string }).text,
        )
      await expect.poll(() => texts('day/1/', 10)).toEqual(['3', '2', '1'])
      expect(await texts('day/1/', 2)).toEqual(['3', '2'])
      expect(await texts('day/2/', 10)).toEqual([])
      expect(await texts('day/', 10)).toEqual(['3', '2', '1'])
    })

    test('a stream counts from 1 without gaps, and each entry links to the one before', async () => {
      await journal.append({ tenant: 'acme', stream: 'chain', expectedSeq: 0, entries: [note('a'), note('b')] })
      await one('chain', 2, 'c')
      const entries = await journal.read('acme', 'chain')
      expect(entries.map((entry) => entry.seq)).toEqual([1, 2, 3])
      expect(entries[0]?.prevHash).toBe(GENESIS)
      for (const [index, entry] of entries.entries()) {
        expect(entryHash(entry)).toBe(entry.hash)
        if (index > 0) expect(entry.prevHash).toBe(entries[index - 1]?.hash)
      }
    })

    test('what is read is what was appended, whatever text it holds', async () => {
      const payload = { text: 'a\u0000b \ud800 ünïcode 🚀 "quoted" \\ back', number: 1e21, nested: [null, { deep: true }] }
      await journal.append({ tenant: 'acme', stream: 'text', expectedSeq: 0, entries: [{ kind: 'note', payload }] })
      expect((await journal.read('acme', 'text'))[0]?.payload).toEqual(payload)
    })

    test('a writer that believes another end of the stream is refused, and nothing of its append stays', async () => {
      await one('fenced', 0)
      await expect(one('fenced', 0)).rejects.toMatchObject({ code: 'stream_conflict' })
      await expect(one('fenced', 7)).rejects.toMatchObject({ code: 'stream_conflict' })
      await expect(
        journal.append(
          { tenant: 'acme', stream: 'innocent', expectedSeq: 0, entries: [note('a')] },
          { tenant: 'acme', stream: 'fenced', expectedSeq: 0, entries: [note('b')] },
        ),
      ).rejects.toMatchObject({ code: 'stream_conflict' })
      expect(await journal.read('acme', 'innocent')).toEqual([])
      expect(await journal.read('acme', 'fenced')).toHaveLength(1)
    })

    test('a second process can not write to a stream that the first moved on', async () => {
      await one('owned', 0)
      await second.append({ tenant: 'acme', stream: 'owned', expectedSeq: 1, entries: [note('second')] })
      await expect(one('owned', 1)).rejects.toMatchObject({ code: 'stream_conflict' })
      await one('owned', 2)
      expect((await journal.read('acme', 'owned')).map((entry) => entry.seq)).toEqual([1, 2, 3])
    })

    test('several processes append to one stream without losing or linking wrongly', async () => {
      const writes = Array.from({ length: 60 }, (_, index) =>
        (index % 2 ? journal : second).append({ tenant: 'acme', stream: 'shared', expectedSeq: 'any', entries: [note(String(index))] }),
      )
      await Promise.all(writes)
      const entries = await journal.read('acme', 'shared')
      expect(entries).toHaveLength(60)
      entries.reduce((previous: string, entry) => {
        expect(entry.prevHash).toBe(previous)
        return entry.hash
      }, GENESIS)
    })

    test('a conflict of one append does not touch others committed in the same group', async () => {
      await one('group', 0)
      const outcomes = await Promise.allSettled([one('group-a', 0), one('group', 0), one('group-b', 0), one('group', 1)])
      expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    })

    test('the tail gives every entry exactly once and in order while many write', async () => {
      const after = await journal.lastPosition()
      const writes: Promise<JournalEntry[]>[] = []
      for (let index = 0; index < 400; index++)
        writes.push(
          (index % 2 ? journal : second).append({
            tenant: 'acme',
            stream: `tail/${index % 40}`,
            expectedSeq: 'any',
            entries: [note(String(index))],
          }),
        )
      const seen: JournalEntry[] = []
      let position = after
      await expect
        .poll(
          async () => {
            const page = await journal.tail({ tenant: EVERY_TENANT, after: position, streamPrefix: 'tail/', limit: 37 })
            seen.push(...page)
            position = page.at(-1)?.position ?? position
            return seen.length
          },
          { timeout: 20_000, interval: 1 },
        )
        .toBe(400)
      await Promise.all(writes)
      expect(new Set(seen.map((entry) => `${entry.stream}/${entry.seq}`)).size).toBe(400)
      const places = seen.map((entry) => BigInt(entry.position))
      expect(places.every((place, index) => index === 0 || place > (places[index - 1] as bigint))).toBe(true)
    })

    test('another process hears of an append', async () => {
      let heard = 0
      const stop = second.onAppend(() => {
        heard++
      })
      await one('heard', 0)
      await expect.poll(() => heard).toBeGreaterThan(0)
      stop()
    })

    test('one tenant never reads what another wrote, whatever it asks by', async () => {
      await one('private', 0)
      const theirs = { tenant: 'stranger', after: '0' }
      expect(await journal.read('stranger', 'private')).toEqual([])
      expect(await journal.readLast('stranger', 'private')).toBeUndefined()
      expect(await journal.tail({ ...theirs, includeUnsettled: true })).toEqual([])
      expect(await journal.tail({ ...theirs, streamPrefix: 'priv', kinds: ['note'] })).toEqual([])
      expect(await journal.stored({ ...theirs, stream: 'private' })).toEqual([])
      expect(await journal.newest({ tenant: 'stranger', streamPrefix: 'priv', limit: 10 })).toEqual([])
      expect(await journal.kinds('stranger')).toEqual([])
      await journal.redact('stranger', 'private', [1])
      expect(await journal.read('acme', 'private')).toMatchObject([{ payload: { text: 'x' } }])
    })

    test('an entry that can not be written is refused at once, and others of the same moment are not', async () => {
      const written = one('beside', 0)
      expect(() => one('NUL \u0000', 0)).toThrow(expect.objectContaining({ code: 'invalid_input' }))
      expect(() => one('line\nbreak', 0)).toThrow(expect.objectContaining({ code: 'invalid_input' }))
      expect(() => one('long'.repeat(300), 0)).toThrow(expect.objectContaining({ code: 'invalid_input' }))
      const entries = [{ ...note('x'), at: 'yesterday' }]
      expect(() => journal.append({ tenant: 'acme', stream: 'time', expectedSeq: 0, entries })).toThrow(
        expect.objectContaining({ code: 'invalid_input' }),
      )
      expect(await written).toHaveLength(1)
    })

    test('a group holds every kind of text, number and time as it was given', async () => {
      const at = '2026-02-28T23:59:59.999Z'
      const streams = ['', 'ünïcode/🚀', '"{,}\\ NULL', '🚀'.repeat(300)]
      await Promise.all(
        streams.map((stream, index) =>
          journal.append({
            tenant: 'acme',
            stream: `kinds/${stream}`,
            expectedSeq: 0,
            entries: [{ kind: `ünïcode ${index}`, payload: stream, at: index % 2 ? at : '1999-12-31T23:59:59.999Z' }, note('second')],
          }),
        ),
      )
      for (const [index, stream] of streams.entries()) {
        const [first, second] = await journal.read('acme', `kinds/${stream}`)
        expect(first).toMatchObject({ kind: `ünïcode ${index}`, payload: stream, at: index % 2 ? at : '1999-12-31T23:59:59.999Z', seq: 1 })
        expect(entryHash(first as JournalEntry)).toBe(first?.hash)
        expect(second).toMatchObject({ seq: 2, prevHash: first?.hash })
      }
    })

    const settled = async (tenant: string) => {
      const last = (await journal.tail({ after: '0', tenant, includeUnsettled: true, limit: 10_000 })).at(-1)?.position ?? '0'
      await expect.poll(async () => BigInt(await journal.lastPosition()) >= BigInt(last)).toBe(true)
    }

    test('a time is read back as it was hashed, however it was written', async () => {
      const entries = [{ ...note('x'), at: '2026-02-03T04:05+01:00' }]
      await journal.append({ tenant: 'acme', stream: 'timed', expectedSeq: 0, entries })
      const [entry] = await journal.read('acme', 'timed')
      expect(entry?.at).toBe('2026-02-03T03:05:00.000Z')
      expect(entryHash(entry as JournalEntry)).toBe(entry?.hash)
    })

    test('an entry is given as it is stored, with what its digest was made of', async () => {
      const payload = { '10': 1, '9': [-0, 1e21], text: 'ü\u0000 "quoted"' }
      await journal.append({ tenant: 'stored', stream: 's', expectedSeq: 0, entries: [{ kind: 'note', payload }, note('second')] })
      await journal.append({ tenant: 'stored', stream: 'other', expectedSeq: 0, entries: [{ kind: 'other', payload }] })
      await settled('stored')
      const [first, second, third] = await journal.stored({ tenant: 'stored', after: '0' })
      expect(first).toMatchObject({ stream: 's', seq: 1, text: JSON.stringify(payload) })
      for (const entry of [first, second]) expect(contentDigest(entry?.text as string, entry?.salt)).toBe(entry?.digest)
      expect(first?.salt).not.toBe(second?.salt)
      const query = { tenant: 'stored', after: first?.position as string }
      expect((await journal.stored(query)).map(({ position }) => position)).toEqual([second?.position, third?.position])
      expect(await journal.stored({ ...query, through: second?.position })).toEqual([second])
      expect(await journal.stored({ ...query, stream: 's' })).toEqual([second])
      expect(await journal.stored({ ...query, kinds: ['other'] })).toEqual([third])
      expect(await journal.stored({ ...query, limit: 1 })).toEqual([second])
      expect(await journal.kinds('stored')).toEqual(['note', 'other'])
      expect(await journal.tenants()).toEqual(expect.arrayContaining(['acme', 'stored']))
      expect((await journal.tenants()).filter((tenant) => tenant === 'acme')).toHaveLength(1)
    })

    test('a page of stored entries holds some megabytes and never none', async () => {
      // Text that does not pack well.
      const text = Array.from({ length: 250_000 }, (_, index) => sha256(String(index)).slice(0, 16)).join('')
      for (let seq = 0; seq < 4; seq++)
        await journal.append({
          tenant: 'large',
          stream: 's',
          expectedSeq: seq,
          entries: [note(seq === 1 ? text + text.slice(0, 3_000_000) : text)],
        })
      await settled('large')
      const pages: number[] = []
      for (let after = '0'; ; ) {
        const page = await journal.stored({ tenant: 'large', after })
        const last = page.at(-1)
        if (!last) break
        pages.push(page.length)
        after = last.position
      }
      expect(pages.length).toBeGreaterThan(1)
      expect(pages.reduce((sum, count) => sum + count)).toBe(4)
    })

    test('redacting takes payload and salt away and leaves the rest, for every reader', async () => {
      const stream = 'redacted'
      await journal.append({ tenant: 'gone', stream, expectedSeq: 0, entries: [note('a'), note('private'), note('c')] })
      await settled('gone')
      const before = await journal.stored({ tenant: 'gone', after: '0' })
      await journal.redact('gone', stream, [2, 7])
      await journal.redact('gone', stream, [2])
      await journal.redact('acme', stream, [1])
      const after = await journal.stored({ tenant: 'gone', after: '0' })
      const { text: _, salt: __, ...rest } = before[1] as StoredEntry
      expect(after).toEqual([before[0], rest, before[2]])
      expect(await journal.stored({ tenant: 'gone', after: '0', withContent: true })).toEqual([before[0], before[2]])
      const [, entry] = await journal.read('gone', stream)
      expect(entry).toMatchObject({ seq: 2, redacted: true, hash: rest.hash })
      expect(() => entry?.payload).toThrow(expect.objectContaining({ code: 'redacted' }))
      expect((await journal.tail({ after: '0', tenant: 'gone' })).map(({ seq }) => seq)).toEqual([1, 3])
      await one(stream, 0)
      await journal.append({ tenant: 'gone', stream, expectedSeq: 3, entries: [note('d')] })
    })

    test('a payload over the limit is refused with a sentence, and the stream goes on', async () => {
      expect(() => one('large', 0, 'x'.repeat(9_000_000))).toThrow(expect.objectContaining({ code: 'invalid_input' }))
      await one('large', 0)
    })
  })
}
