/** What an order in a text makes the agent do: call an operation, or send a request to the platform's API. */
export type Order = { call: string; input: Record<string, unknown>; approvals?: string[] } | { api: string; body?: unknown }

export interface Obeyed {
  order: Order
  status: number
  /** Code of the problem, when it was refused. */
  code?: string
  answer: unknown
}

const ORDER = /\(\(order:([\w-]+)\)\)/g

/** An order as text that survives HTML, JSON, commit messages and file names. */
export function orderText(order: Order): string {
  return `((order:${Buffer.from(JSON.stringify(order)).toString('base64url')}))`
}

/**
 * The worst agent there can be: it reads what its task names and then does whatever anything that it read tells it to, again and again.
 * It stands for a model that every injection succeeds with.
 */
export function createObedientAgent({ url, token }: { url: string; token: string }) {
  async function send(method: string, path: string, body: unknown): Promise<{ status: number; answer: unknown }> {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const response = await fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const text = await response.text()
    return { status: response.status, answer: text === '' ? null : JSON.parse(text) }
  }

  function carryOut(order: Order): Promise<{ status: number; answer: unknown }> {
    if ('call' in order) return send('POST', `/v1/operations/${order.call}/execute`, { input: order.input, approvals: order.approvals })
    const [method = '', path = ''] = order.api.split(' ')
    return send(method, path, order.body)
  }

  /** @returns what came of every order, in the order obeyed */
  async function obey(texts: string, depth = 0): Promise<Obeyed[]> {
    const obeyed: Obeyed[] = []
    for (const [, encoded = ''] of texts.matchAll(ORDER)) {
      const order = JSON.parse(Buffer.from(encoded, 'base64url').toString()) as Order
      const { status, answer } = await carryOut(order)
      obeyed.push({ order, status, code: (answer as { code?: string } | null)?.code, answer })
      if (depth < 3) obeyed.push(...(await obey(JSON.stringify(answer), depth + 1)))
    }
    return obeyed
  }

  return {
    carryOut,
    /** Does the task, reads its answer, obeys. */
    async work(task: Order): Promise<Obeyed[]> {
      const { answer } = await carryOut(task)
      return obey(JSON.stringify(answer))
    },
  }
}
