/** Reading a request's JSON body, within a bound. */
import type { IncomingMessage } from 'node:http'
import { fail } from '../errors.ts'

/** The longest body that is taken, bytes. */
export const MAX_BODY_BYTES: number = 1024 * 1024
/** The same of an order to send an event: the longest payload that the option event-payload-limit can allow, in base64, and some more. */
export const MAX_EVENT_BODY_BYTES: number = (64 * 1024 * 1024 * 4) / 3 + MAX_BODY_BYTES

/** The body as JSON; undefined if there is none. Errors: bad-request. */
export async function readJson(request: IncomingMessage, maxBytes: number = MAX_BODY_BYTES): Promise<unknown> {
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > maxBytes) throw tooLong(maxBytes)
  const pieces: Buffer[] = []
  let bytes = 0
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      bytes += piece.length
      if (bytes > maxBytes) throw tooLong(maxBytes)
      pieces.push(piece)
    }
  } catch (error) {
    if (bytes > maxBytes) throw error
    throw fail('bad-request', { reason: 'its body ended early' }, error)
  }
  if (bytes === 0) return undefined
  // A page can send text/plain and forms anywhere without being asked; JSON it can't.
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw fail('bad-request', { reason: `its body is ${type ?? 'of no type'}, not application/json` })
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces)))
  } catch (error) {
    throw fail('bad-request', { reason: 'its body is not JSON' }, error)
  }
}

function tooLong(maxBytes: number): Error {
  return fail('bad-request', { reason: `its body is longer than ${maxBytes} bytes` })
}
