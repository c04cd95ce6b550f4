import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as pass } from 'node:timers/promises'
import { fromStack } from '@soma/ports/testing'
import { type HTMLElement, parse } from 'node-html-parser'
import { Secret, TOTP } from 'otpauth'
import { CookieJar } from 'tough-cookie'

const REALM_FILE = new URL('../../../deploy/keycloak/realm.json', import.meta.url)
export const PASSWORD = 'correct horse battery staple'

/** A realm of a test's own on the real Keycloak, made from the file in `deploy/keycloak`. */
export interface TestRealm {
  issuer: string
  /** Of the client `soma-service`. */
  clientSecret: string
  /** Keycloak's admin API below the realm. */
  admin(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<Response>
  /** Adds a person with `PASSWORD`; gives the id. */
  addUser(username: string, details: { tenant?: string; roles?: readonly string[] }): Promise<string>
  /** A token that a client gets for itself. */
  clientToken(clientId?: string, secret?: string): Promise<string>
  delete(): Promise<void>
}

export async function openTestRealm(): Promise<TestRealm> {
  const name = `test-${randomBytes(6).toString('hex')}`
  const clientSecret = randomBytes(24).toString('base64url')
  const base = fromStack('KEYCLOAK_URL')
  const text = (await readFile(REALM_FILE, 'utf8')).replace('${SOMA_SERVICE_CLIENT_SECRET}', clientSecret)
  await send(base, 'POST', '/admin/realms', { ...JSON.parse(text), realm: name })

  const issuer = `${base}/realms/${name}`
  const admin: TestRealm['admin'] = (method, path, body) => send(base, method, `/admin/realms/${name}${path}`, body)
  return {
    issuer,
    clientSecret,
    admin,
    addUser: async (username, { tenant, roles = [] }) => {
      const made = await admin('POST', '/users', {
        username,
        enabled: true,
        attributes: tenant ? { tenant: [tenant] } : {},
        credentials: [{ type: 'password', value: PASSWORD, temporary: false }],
      })
      const id = made.headers.get('location')?.split('/').at(-1) as string
      const known = await Promise.all(roles.map(async (role) => (await admin('GET', `/roles/${role}`)).json()))
      await admin('POST', `/users/${id}/role-mappings/realm`, known)
      return id
    },
    clientToken: async (clientId = 'soma-service', secret = clientSecret) => {
      const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId, client_secret: secret })
      const answer = await fetch(`${issuer}/protocol/openid-connect/token`, { method: 'POST', body })
      if (!answer.ok) throw new Error(`${clientId} gets no token: ${await answer.text()}`)
      return ((await answer.json()) as { access_token: string }).access_token
    },
    delete: async () => void (await send(base, 'DELETE', `/admin/realms/${name}`)),
  }
}

async function send(base: string, method: string, path: string, body?: unknown): Promise<Response> {
  const answer = await fetch(`${base}${path}`, {
    method,
    headers: { authorization: `Bearer ${await adminToken(base)}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`Keycloak answers ${method} ${path} with ${answer.status}: ${await answer.text()}`)
  return answer
}

/** Lives for a minute only, so each call asks for one. */
async function adminToken(base: string): Promise<string> {
  const body = new URLSearchParams({
    grant_type: 'password',
    client_id: 'admin-cli',
    username: fromStack('KEYCLOAK_ADMIN'),
    password: fromStack('KEYCLOAK_ADMIN_PASSWORD'),
  })
  const answer = await fetch(`${base}/realms/master/protocol/openid-connect/token`, { method: 'POST', body })
  return ((await answer.json()) as { access_token: string }).access_token
}

/** A person with a browser that keeps cookies, and a phone for one-time codes. */
export interface Person {
  /** Opens a page of Keycloak and does what it asks, until it leads elsewhere. Gives that address, or the page that asks nothing more. */
  signIn(address: string | URL, answers?: { code?: string }): Promise<{ leftFor?: URL; page?: string }>
  /** Another browser, with the same phone. */
  forgetCookies(): void
  /** How often a code was asked for. */
  codesShown(): number
  lastCode(): string
}

/** The forms that a sign-in may show, by a field that only they have. */
const FORMS = ['password', 'otp', 'totp', 'device_user_code', 'accept'] as const

export function openPerson(username: string, password = PASSWORD): Person {
  let jar = new CookieJar()
  const phone = openPhone()

  async function load(address: URL, form?: URLSearchParams): Promise<Response> {
    const headers = { cookie: await jar.getCookieString(address.href) }
    const answer = await fetch(address, { method: form ? 'POST' : 'GET', body: form, headers, redirect: 'manual' })
    for (const cookie of answer.headers.getSetCookie()) await jar.setCookie(cookie, address.href)
    return answer
  }

  async function answersTo(form: HTMLElement, code: string | undefined): Promise<Record<string, string>> {
    const secret = form.querySelector('[name=totpSecret]')?.getAttribute('value')
    if (secret) phone.enrol(secret)
    if (form.querySelector('[name=totp]')) return { totp: code ?? (await phone.nextCode()), userLabel: 'phone' }
    if (form.querySelector('[name=otp]')) return { otp: code ?? (await phone.nextCode()) }
    return form.querySelector('[name=password]') ? { username, password } : {}
  }

  return {
    codesShown: phone.codesShown,
    lastCode: phone.lastCode,
    forgetCookies: () => {
      jar = new CookieJar()
    },
    async signIn(start, { code } = {}) {
      let address = new URL(start)
      const { origin } = address
      let answer = await load(address)
      let filled: string | undefined
      for (;;) {
        const location = answer.headers.get('location')
        if (location) {
          address = new URL(location, address)
          if (address.origin !== origin) return { leftFor: address }
          answer = await load(address)
          continue
        }
        const page = parse(await answer.text())
        const form = page.querySelectorAll('form').find((each) => FORMS.some((field) => each.querySelector(`[name=${field}]`)))
        if (!form) return { page: page.text }
        if (form.id && form.id === filled) throw new Error(textOf(page))
        filled = form.id
        const fields = new URLSearchParams(await answersTo(form, code))
        for (const input of form.querySelectorAll('input[type=hidden], input[name=accept], input[name=device_user_code]'))
          fields.append(input.getAttribute('name') ?? '', input.getAttribute('value') ?? '')
        address = new URL(form.getAttribute('action') ?? '', address)
        answer = await load(address, fields)
      }
    },
  }
}

/** What a page of Keycloak complains of. */
function textOf(page: HTMLElement): string {
  return page
    .querySelectorAll('[id^=input-error], .kc-feedback-text, .pf-v5-c-alert__title, #kc-error-message')
    .map(({ text }) => text.trim())
    .join(' ')
}

function openPhone() {
  const PERIOD = 30_000
  let totp: TOTP | undefined
  let lastCounter = 0
  const shown: string[] = []
  return {
    /** Keycloak's forms hold the secret as it is; its page shows it in base 32. */
    enrol: (secret: string) => {
      totp = new TOTP({ secret: Secret.fromLatin1(secret) })
    },
    /** A code that was not used before: Keycloak takes each once, and that of the next period already. */
    nextCode: async (): Promise<string> => {
      if (!totp) throw new Error('The phone was never enrolled.')
      const counter = Math.max(Math.floor(Date.now() / PERIOD), lastCounter + 1)
      while (counter > Math.floor(Date.now() / PERIOD) + 1) await pass(200)
      lastCounter = counter
      const code = totp.generate({ timestamp: counter * PERIOD })
      shown.push(code)
      return code
    },
    codesShown: () => shown.length,
    lastCode: () => shown.at(-1) as string,
  }
}
