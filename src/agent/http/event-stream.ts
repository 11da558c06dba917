/**
 * Answers that go on: one JSON object per line, flushed as it comes.
 *
 * A client that reads too slowly loses progress lines, never others; one that reads nothing at all while more than a bound
 * is waiting is cut off.
 */
import type { ServerResponse } from 'node:http'

/** Waiting bytes beyond which progress is left out. */
const SLOW_BYTES = 64 * 1024
/** Waiting bytes beyond which the connection is closed. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024

/** The lines of one answer. */
export class EventStream {
  readonly #response: ServerResponse
  /** Resolves when the answer has ended or the connection is closed. */
  readonly closed: Promise<void>

  /** `left` is aborted when the client has closed the connection before the end: it may have done so before the answer begins. */
  constructor(response: ServerResponse, left: AbortSignal) {
    this.#response = response
    this.closed = new Promise((resolve) => {
      if (left.aborted) resolve()
      else response.once('close', resolve)
    })
    if (left.aborted) return
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    // The head goes with the first line; lines are small and must not wait for each other.
    response.socket?.setNoDelay(true)
  }

  /** Writes one line. */
  write(event: { event: string }): void {
    const response = this.#response
    if (response.writableEnded || response.destroyed) return
    if (event.event === 'progress' && response.writableLength > SLOW_BYTES) return
    if (response.writableLength > MAX_WAITING_BYTES) {
      response.destroy()
      return
    }
    response.write(`${JSON.stringify(event)}\n`)
  }

  /** Ends the answer after what was written. */
  end(): void {
    this.#response.end()
  }
}
