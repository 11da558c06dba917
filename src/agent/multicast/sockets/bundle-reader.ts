/**
 * Reads all that waits at a socket, many datagrams per system call; and several of one sender and size the kernel may hand over as one message
 * (generic receive offload). Waiting for something to come is the matter of Node's event loop: between `begin` and `end` this reads, else that does.
 */
import { constants } from 'node:os'
import {
  CONTROL_HEADER_BYTES,
  DONT_WAIT,
  MESSAGE,
  UDP,
  messageArea,
  setPiece,
  type MessageArea,
  type SocketHandle,
  type SystemCalls,
} from './system-calls.ts'

/** Messages of one call, at the most. */
const MESSAGES = 16
/** Room of a message: the longest that there can be, as it may have been put together. */
const SLOT_BYTES = 65_536
/** Room for control data: the size of the datagrams, and what else somebody has asked the socket for. */
const CONTROL_BYTES = 64
/** Calls before the event loop gets its turn. */
const MOST_CALLS = 16

export class BundleReader {
  readonly #calls: SystemCalls
  readonly #handle: SocketHandle
  readonly #onDatagram: (bytes: Buffer) => void
  readonly #area: MessageArea
  #isClosed = false

  /** The bytes that `onDatagram` gets are used again when it returns. */
  constructor(calls: SystemCalls, handle: SocketHandle, onDatagram: (bytes: Buffer) => void) {
    this.#calls = calls
    this.#handle = handle
    this.#onDatagram = onDatagram
    this.#area = messageArea(calls, MESSAGES, CONTROL_BYTES, MESSAGES * SLOT_BYTES)
    for (let index = 0; index < MESSAGES; index++) setPiece(this.#area, index, this.#area.dataAt + index * SLOT_BYTES, SLOT_BYTES)
  }

  /** From here on the event loop reads nothing: it could not tell apart what the kernel has put together. */
  begin(): void {
    this.#handle.recvStop()
    this.#calls.setOption(this.#handle.fd, UDP.level, UDP.gather, 1)
  }

  /** From here on the event loop reads, datagram by datagram. */
  end(): void {
    // What was put together can be told apart only as long as that is on.
    for (let time = 0; time < 4 && this.read() > 0; time++);
    if (this.#isClosed) return
    this.#calls.setOption(this.#handle.fd, UDP.level, UDP.gather, 0)
    this.#handle.recvStart()
  }

  /** The socket is about to be closed: its descriptor may soon be another's. */
  close(): void {
    this.#isClosed = true
  }

  /** Reads what waits; how many datagrams there were. */
  read(): number {
    const { view, bytes, address, dataAt } = this.#area
    let count = 0
    for (let call = 0; call < MOST_CALLS && !this.#isClosed; call++) {
      // What the call before wrote there.
      for (let index = 0; index < MESSAGES; index++) view.setUint32(index * MESSAGE.bytes + MESSAGE.controlBytes, CONTROL_BYTES, true)
      const messages = this.#calls.recvmmsg(this.#handle.fd, address, MESSAGES, DONT_WAIT, 0)
      if (messages < 0) {
        // Errors are those of what was sent before, and over once they are told; a signal is none.
        if (this.#calls.errno() === constants.errno.EAGAIN) break
        continue
      }
      for (let index = 0; index < messages; index++) {
        const from = dataAt + index * SLOT_BYTES
        const end = from + view.getUint32(index * MESSAGE.bytes + MESSAGE.length, true)
        const size = this.#datagramBytes(index) ?? end - from
        for (let at = from; at < end; at += size, count++) this.#onDatagram(bytes.subarray(at, Math.min(at + size, end)))
      }
      if (messages < MESSAGES) break
    }
    return count
  }

  /** Of a message that was put together: the size of its datagrams but the last. */
  #datagramBytes(index: number): number | undefined {
    const { view, controlsAt } = this.#area
    let at = controlsAt + index * CONTROL_BYTES
    const end = at + view.getUint32(index * MESSAGE.bytes + MESSAGE.controlBytes, true)
    while (at + CONTROL_HEADER_BYTES < end) {
      const length = view.getUint32(at, true)
      if (view.getInt32(at + 8, true) === UDP.level && view.getInt32(at + 12, true) === UDP.gather) {
        return Math.max(1, view.getInt32(at + CONTROL_HEADER_BYTES, true))
      }
      if (length < CONTROL_HEADER_BYTES) break
      at += (length + 7) & ~7
    }
    return undefined
  }
}
