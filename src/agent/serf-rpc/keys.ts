/** The commands that change the keys of all members. */
import type { KeyReport } from '../gossip/gossip.ts'
import type { KeyRequest, KeysReply } from './messages.ts'
import type { Session } from './session.ts'

interface KeysOutcome {
  readonly error?: string | undefined
  readonly reply?: KeysReply
}

/** Installs a key, makes it the primary one, or removes it. */
export function keyCommand(operation: 'install' | 'use' | 'remove'): (session: Session, request: KeyRequest) => Promise<KeysOutcome> {
  return async ({ parts }, { Key }) => {
    const at = badBase64At(Key)
    if (at !== undefined) return { error: `illegal base64 data at input byte ${at}` }
    const report = await parts.gossip.keys(operation, new Uint8Array(Buffer.from(Key, 'base64')))
    return { error: complaint(report), reply: replyOf(report, undefined) }
  }
}

export async function listKeys({ parts }: Session): Promise<KeysOutcome> {
  const report = await parts.gossip.keys('list')
  return { error: complaint(report), reply: replyOf(report, new Map(Object.entries(report.keys))) }
}

function replyOf(report: KeyReport, keys: ReadonlyMap<string, number> | undefined): KeysReply {
  return {
    Messages: new Map(Object.entries(report.messages)),
    Keys: keys,
    NumNodes: report.members,
    NumErr: report.errors,
    NumResp: report.responses,
  }
}

function complaint({ members, responses, errors }: KeyReport): string | undefined {
  if (errors > 0) return `${errors}/${members} nodes reported failure`
  return responses === members ? undefined : `${responses}/${members} nodes reported success`
}

/** Where a text stops to be padded base64 (RFC 4648 §4); undefined if it is all of it. */
function badBase64At(text: string): number | undefined {
  const valid = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?/.exec(text)?.[0].length ?? 0
  return valid === text.length ? undefined : valid
}
