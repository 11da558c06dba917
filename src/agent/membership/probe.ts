/** Asks an address who is there, without linking to it. */

import { connect } from 'node:net'
import { parseMessage } from './messages.ts'
import type { Clock } from '../clock.ts'

/** Longest answer that is read. */
const MAX_ANSWER_CHARACTERS = 1024

/** What an agent says of itself. */
export interface Identity {
  readonly name: string
  readonly instance: string
}

/** Who answers at a gossip address; undefined if nobody does in time, or not in this protocol. */
export function askWho(
  address: { readonly host: string; readonly port: number },
  timeoutMs: number,
  clock: Clock,
): Promise<Identity | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address.host, port: address.port })
    let answer = ''
    const end = (identity: Identity | undefined): void => {
      cancel()
      socket.destroy()
      resolve(identity)
    }
    const cancel = clock.schedule(timeoutMs, () => end(undefined))
    socket.setEncoding('utf8')
    socket.on('connect', () => socket.write(`${JSON.stringify({ type: 'who' })}\n`))
    socket.on('error', () => end(undefined))
    socket.on('close', () => end(undefined))
    socket.on('data', (text: string) => {
      answer += text
      const newline = answer.indexOf('\n')
      if (newline < 0 && answer.length <= MAX_ANSWER_CHARACTERS) return
      const message = parseMessage(answer.slice(0, Math.max(0, newline)))
      end(typeof message === 'object' && message.type === 'iam' ? { name: message.name, instance: message.instance } : undefined)
    })
  })
}
