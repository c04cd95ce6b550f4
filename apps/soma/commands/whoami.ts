import { Principal } from '@soma/contracts/tenant'
import { answerOf } from '@soma/sdk/client'
import type { Configure, Session } from '../session.ts'
import { table } from '../text.ts'

const configure: Configure = (command, session) => {
  command.addHelpText('after', '\nAsks the server, with whatever the other commands would show it.\n').action(() => whoami(session))
}
export default configure

async function whoami(session: Session): Promise<void> {
  const { client, url } = await session.connect()
  const principal = Principal.parse(await answerOf(client.GET('/v1/me')))
  const { id, kind, tenant, capabilities, mfa = false, mfaAt, onBehalfOf } = principal
  const shown = mfaAt === undefined ? 'shown' : `shown ${new Date(mfaAt * 1000).toISOString()}`
  const rows = [
    ['you', `${id} (${kind})`],
    ...(onBehalfOf ? [['for', onBehalfOf]] : []),
    ['tenant', tenant],
    ['server', url],
    ['may', capabilities.join(' ') || 'nothing'],
    ['second factor', mfa ? shown : 'not shown'],
  ]
  session.terminal.answer({ ...principal, mfa, url }, table(rows, session.terminal.width))
}
