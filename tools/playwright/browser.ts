import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import type { Browser } from 'playwright-core'

export interface BrowserClient {
  /** The process's one browser, started at the first call and again after it died. */
  browser(): Promise<Browser>
  close(): Promise<void>
}

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'msedge', 'microsoft-edge']
const INSTALL =
  'Install Chromium, Google Chrome or Microsoft Edge (Debian, Ubuntu: apt-get install chromium), or set SOMA_BROWSER to the path of one.'

/** What the browser needs of the environment. The rest may hold secrets, and web pages run in there. */
const ENVIRONMENT = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'TEMP', 'TMP', 'XDG_RUNTIME_DIR', 'SYSTEMROOT', 'LOCALAPPDATA', 'PROGRAMFILES']

const ARGUMENTS = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  // Every request is answered from outside the browser (network.ts). What is not offered for an answer there (WebSocket, WebRTC, WebTransport,
  // preconnect, what follows a redirect) must find no way of its own: no name resolves, not even that of the proxy that everything has to take.
  '--proxy-server=http://nowhere.invalid:1',
  '--proxy-bypass-list=<-loopback>',
  '--host-resolver-rules=MAP * ~NOTFOUND',
  '--webrtc-ip-handling-policy=disable_non_proxied_udp',
  '--force-webrtc-ip-handling-policy=disable_non_proxied_udp', // the same, as older versions call it
]

/**
 * The browser of this machine: SOMA_BROWSER, or the first known name on the PATH.
 * @throws tool_unavailable with what to install
 */
export async function findBrowser(environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  const chosen = environment.SOMA_BROWSER
  if (chosen) {
    if (await isExecutable(chosen)) return chosen
    throw new SomaError('tool_unavailable', `SOMA_BROWSER is "${chosen}", which is no program that can be run. ${INSTALL}`, {
      path: chosen,
      retryable: false,
    })
  }
  const suffix = process.platform === 'win32' ? '.exe' : ''
  for (const folder of (environment.PATH ?? '').split(delimiter).filter(Boolean)) {
    for (const name of NAMES) {
      const path = join(folder, name + suffix)
      if (await isExecutable(path)) return path
    }
  }
  throw new SomaError('tool_unavailable', `No browser was found on the PATH (${NAMES.join(', ')}). ${INSTALL}`, { retryable: false })
}

/** @throws tool_unavailable when there is no browser */
export async function connectBrowser(): Promise<BrowserClient> {
  const path = await findBrowser()
  let started: Promise<Browser> | undefined
  const start = async () => {
    const running = await launch(path)
    running.once('disconnected', forget)
    return running
  }
  const forget = () => {
    started = undefined
  }
  return {
    async browser() {
      started ??= start().catch((error) => {
        forget()
        throw error
      })
      return started
    },
    async close() {
      const running = await started?.catch(() => undefined)
      await running?.close()
    },
  }
}

async function launch(executablePath: string): Promise<Browser> {
  const { chromium } = await import('playwright-core')
  try {
    return await chromium.launch({
      executablePath,
      args: ARGUMENTS,
      // Chromium can not sandbox itself as root.
      chromiumSandbox: process.getuid?.() !== 0,
      env: Object.fromEntries(ENVIRONMENT.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))),
      // The platform stops in its own order; a browser that ends the process at the first signal would cut that short.
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
    })
  } catch (error) {
    const [reason] = (error as Error).message.split('\n')
    throw new SomaError(
      'tool_unavailable',
      `The browser ${executablePath} did not start: ${reason}`,
      { path: executablePath },
      { cause: error },
    )
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
