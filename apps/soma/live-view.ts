import { stripVTControlCharacters } from 'node:util'
import type { Project } from '@soma/contracts/project'
import { createLogUpdate } from 'log-update'
import type { Answer } from './answer-approval.ts'
import type { Session } from './session.ts'
import { changedLines, type PendingApproval, renderProject, type TreeView } from './tree.ts'

/** Milliseconds between two pictures. */
const EVERY = 120

export interface LiveView {
  show(project: Project, approvals: readonly PendingApproval[]): void
  /** Asks about an approval below the tree; undefined for "later". Asking takes nothing from what goes on meanwhile. */
  ask(approval: PendingApproval): Promise<Answer | undefined>
  /** Leaves the last picture as it is. */
  end(): void
}

/** Shows a project as it goes: a tree that moves on a terminal, a line for each change elsewhere, nothing when a program reads. */
export function openLiveView({ terminal, typed }: Session): LiveView {
  const view = (approvals: readonly PendingApproval[], frame: number): TreeView => ({
    ...terminal,
    now: Date.now(),
    frame,
    approvals,
    typed,
  })
  if (terminal.isJson) return { show: () => undefined, ask: async () => undefined, end: () => undefined }
  if (!terminal.isInteractive) {
    let before: Project | undefined
    return {
      show: (project, approvals) => {
        for (const line of changedLines(before, project, view(approvals, 0))) terminal.note(line)
        before = project
      },
      ask: async () => undefined,
      end: () => undefined,
    }
  }
  return openTree((project, approvals, frame) => renderProject(project, view(approvals, frame)), terminal.paint.yellow)
}

type Draw = (project: Project, approvals: readonly PendingApproval[], frame: number) => string

function openTree(draw: Draw, paint: (text: string) => string): LiveView {
  const log = createLogUpdate(process.stdout)
  let shown: { project: Project; approvals: readonly PendingApproval[] } | undefined
  let question = ''
  let frame = 0
  const redraw = () => {
    if (shown) log(`${draw(shown.project, shown.approvals, frame)}\n${question && `\n${paint(question)}`}`)
  }
  const timer = setInterval(() => {
    frame++
    redraw()
  }, EVERY)
  return {
    show: (project, approvals) => {
      shown = { project, approvals }
      redraw()
    },
    ask: async ({ summary }) => {
      const put = (text: string) => {
        question = text
        redraw()
      }
      put(`${summary}\nApprove? y: yes, n: no, any other key: later `)
      const key = (await pressedKey()).toLowerCase()
      const reason = key === 'n' ? await typedLine((text) => put(`${summary}\nWhy not? ${text}`)) : ''
      put('')
      if (key === 'y') return { approve: true }
      // Who says no and not why has not decided yet.
      return reason === '' ? undefined : { approve: false, reason }
    },
    end: () => {
      clearInterval(timer)
      redraw()
      log.done()
    },
  }
}

/** The next key that is pressed. Ctrl-C ends the process as it does without us. */
function pressedKey(): Promise<string> {
  const { stdin } = process
  stdin.setRawMode(true).resume()
  return new Promise((resolve) => {
    stdin.once('data', (bytes: Buffer) => {
      stdin.setRawMode(false).pause()
      const key = bytes.toString('utf8')
      if (key === '\u0003') process.kill(process.pid, 'SIGINT')
      resolve(key)
    })
  })
}

/** What is typed up to Enter, shown as it grows. */
async function typedLine(show: (text: string) => void): Promise<string> {
  for (let text = ''; ; ) {
    show(text)
    const typed = await pressedKey()
    if (/[\r\n]/.test(typed)) return (text + typed.split(/[\r\n]/)[0]).trim()
    text = typed === '\u007f' ? [...text].slice(0, -1).join('') : text + stripVTControlCharacters(typed)
  }
}
