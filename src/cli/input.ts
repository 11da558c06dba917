/** Bytes for the cluster: from an argument, or from standard input. */
import type { GivenBytes } from '../agent/http/gossip-api.ts'
import { failure } from './failure.ts'

/** The most that is read from standard input; what gossip takes is far less, and says so itself. */
const MAX_INPUT_BYTES = 256 * 1024
/** The same for the payload of an event: what no option event-payload-limit can be beyond. */
export const MAX_EVENT_BYTES: number = 64 * 1024 * 1024

/** What an argument gives: itself as text, nothing where it isn't there, standard input for `-`. Errors: usage. */
export async function givenBytes(argument: string | undefined, maxBytes: number = MAX_INPUT_BYTES): Promise<GivenBytes> {
  if (argument === undefined) return {}
  if (argument !== '-') return { text: argument }
  return { payload: (await readInput(maxBytes)).toString('base64') }
}

/** Standard input to its end. Errors: usage (too long). */
export async function readInput(maxBytes: number = MAX_INPUT_BYTES): Promise<Buffer> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of process.stdin as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > maxBytes) throw await failure('usage', { reason: `Standard input has more than ${maxBytes} bytes.` })
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}
