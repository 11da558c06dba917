/** Reading a request's JSON body, within a bound. */
import type { IncomingMessage } from 'node:http'
import { fail } from '../errors.ts'

/** The longest body that is taken, bytes. */
export const MAX_BODY_BYTES: number = 1024 * 1024

/** The body as JSON; undefined if there is none. Errors: bad-request. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > MAX_BODY_BYTES) throw tooLong()
  const pieces: Buffer[] = []
  let bytes = 0
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      bytes += piece.length
      if (bytes > MAX_BODY_BYTES) throw tooLong()
      pieces.push(piece)
    }
  } catch (error) {
    if (bytes > MAX_BODY_BYTES) throw error
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

function tooLong(): Error {
  return fail('bad-request', { reason: `its body is longer than ${MAX_BODY_BYTES} bytes` })
}
