import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { openPostgres } from './postgres.ts'

/** Attempts that are waited for. When each that failed started two, by its error and by its end, they came all at once. */
const ATTEMPTS = 9

/** Stands before the database, passes connections on or cuts each at once, and counts those it cut. */
async function openDoor({ host, port }: pg.PoolConfig) {
  const door = { isShut: false, cut: 0, port: 0, shut: (): void => undefined }
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    if (door.isShut) {
      door.cut++
      socket.destroy()
      return
    }
    open.add(socket)
    const there = (host?.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port as number, host)).on('error', () =>
      socket.destroy(),
    )
    socket.pipe(there).pipe(socket)
    socket.on('close', () => there.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  door.port = (server.address() as AddressInfo).port
  door.shut = () => {
    door.isShut = true
    for (const socket of open) socket.destroy()
  }
  return door
}

test('a listener whose database is away tries one connection at a time, and comes back once', async () => {
  const server = inject('postgres')
  const door = await openDoor(server)
  const sql = await openPostgres({ connection: { ...server, host: '127.0.0.1', port: door.port, database: 'postgres' } })
  let returns = 0
  await sql.listen(
    'news',
    () => undefined,
    () => returns++,
  )
  const shutAt = performance.now()
  door.shut()
  await expect.poll(() => door.cut, { timeout: 30_000 }).toBeGreaterThanOrEqual(ATTEMPTS)
  // One every 250 ms at the most.
  expect(performance.now() - shutAt).toBeGreaterThan((ATTEMPTS - 1) * 200)
  expect(door.cut).toBeLessThan(ATTEMPTS + 3)
  door.isShut = false
  await expect.poll(() => returns).toBe(1)
  await sql.close()
}, 60_000)
