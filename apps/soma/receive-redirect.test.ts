import { expect, test } from 'vitest'
import { receiveRedirect } from './receive-redirect.ts'

const never = new AbortController().signal

test('takes what comes back with the state that was sent, and nothing else', async () => {
  const redirect = await receiveRedirect('s3cret')
  const arrived = redirect.arrived(never)
  for (const path of ['callback?code=stolen', 'callback?code=stolen&state=other', '?state=s3cret'])
    expect((await fetch(new URL(path, redirect.address.replace('callback', '')))).status).toBe(404)
  const page = await fetch(`${redirect.address}?code=right&state=s3cret`)
  expect(await page.text()).toContain('Go back to the terminal')
  expect((await arrived).searchParams.get('code')).toBe('right')
  redirect.close()
})

test('a refusal of the issuer comes back as well, and the page says so', async () => {
  const redirect = await receiveRedirect('s3cret')
  const arrived = redirect.arrived(never)
  expect(await (await fetch(`${redirect.address}?error=access_denied&state=s3cret`)).text()).toContain('not signed in')
  expect((await arrived).searchParams.get('error')).toBe('access_denied')
  redirect.close()
})

test('ends when nobody comes', async () => {
  const redirect = await receiveRedirect('s3cret')
  await expect(redirect.arrived(AbortSignal.timeout(5))).rejects.toThrow(/timeout/)
  redirect.close()
  await expect(fetch(redirect.address)).rejects.toThrow('fetch failed')
})
