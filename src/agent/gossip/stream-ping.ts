/**
 * A ping by TCP that is looked at closely: whether a connection comes about, is refused or is closed, and whether what answers can be read.
 * The machine's own pings by stream need less; the doctor needs this.
 */
import type { Socket } from 'node:net'
import type { Framing } from '../../core/gossip/framing.ts'
import type { Ping } from '../../core/gossip/messages.ts'
import { composeStream, StreamDecoder } from '../../core/gossip/stream.ts'
import { unreadableCause, type UnreadableCause } from '../../core/gossip/unreadable.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import { explainError } from '../errors.ts'
import type { StreamObservation } from './observations.ts'

/** No layer at all. */
export const BARE: Framing = { label: new Uint8Array(0), isCompressing: false, encryption: undefined }

/** Sends a ping over a socket that is connecting, and destroys it in the end. Never rejects. */
export function pingStream(socket: Socket, ping: Ping, framing: Framing, timeoutMs: number): Promise<StreamObservation> {
  return new Promise((resolve) => {
    let isConnected = false
    const end = (result: StreamObservation['result'], reason: string, cause?: UnreadableCause): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ result, reason, cause })
    }
    const timer = setTimeout(() => end(isConnected ? 'accepted' : 'silent', ''), timeoutMs)
    const decoder = new StreamDecoder(framing, false)
    // Who has another key or label says so in plain words, where it says anything.
    const plain = new StreamDecoder(BARE, false)
    socket.on('connect', () => {
      isConnected = true
      socket.write(composeStream(ping, framing, true))
    })
    socket.on('data', (bytes) => {
      const answer = decoder.push(bytes)
      const words = plain.push(bytes)
      if (answer === undefined) return
      if (!isWireError(answer) && answer.type === 'ack') return end('answered', '')
      const spoken = [words, answer].find((one) => one !== undefined && !isWireError(one) && one.type === 'error')
      const reason = spoken !== undefined && !isWireError(spoken) && spoken.type === 'error' ? spoken.reason : undefined
      if (reason !== undefined) return end('unreadable', `it says: ${reason}`, causeOfTheirs(reason))
      if (isWireError(answer)) return end('unreadable', answer.message, unreadableCause(answer.message))
      end('closed', `it answers with ${answer.type}`)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const isRefused = error.code === 'ECONNREFUSED'
      const isReset = error.code === 'ECONNRESET' || error.code === 'EPIPE'
      end(isRefused ? 'refused' : isReset ? 'closed' : error.code === 'ETIMEDOUT' ? 'silent' : 'unreachable', explainError(error))
    })
    socket.on('close', () => end('closed', ''))
  })
}

/** What the other side says of this one's bytes, as seen from here. */
function causeOfTheirs(reason: string): UnreadableCause {
  const cause = unreadableCause(reason)
  return cause === 'plain' ? 'sealed' : cause === 'sealed' ? 'plain' : cause
}
