/**
 * Sends datagrams of a connected socket many at a time: one system call for all that are due, and in it one message for up to 16 of the same
 * size, which the kernel, or the network card, takes apart (generic segmentation offload). On the wire they are what they would have been.
 */
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import {
  CONTROL_HEADER_BYTES,
  DONT_WAIT,
  MESSAGE,
  UDP,
  messageArea,
  setPiece,
  setWord,
  type MessageArea,
  type SocketHandle,
  type SystemCalls,
} from './system-calls.ts'

/** Datagrams that are sent by one call, at the most. */
const SLOTS = 64

/**
 * Datagrams of one message, at the most. More would save little, and come all at once: receivers that read them one by one have lost some
 * of 44. An interface with a low rate lets fewer through in one piece, and takes apart what is more.
 */
const MOST_IN_BUNDLE = 16

/** Of the datagrams in one message in sum, bytes: what one UDP datagram of IPv4 may have. */
const MOST_BUNDLE_BYTES = 65_507

/** Control data of a message: a header and the size of its datagrams, padded. */
const CONTROL_BYTES = 24

const { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE } = constants.errno

export interface BundleSenderOptions {
  readonly calls: SystemCalls
  /** Of a connected socket, which is not closed before this was used last. */
  readonly handle: SocketHandle
  /** Bytes of most datagrams: these are bundled, none is longer. */
  readonly datagramBytes: number
  /** Called for a message that the system did not take, of so many datagrams, which are lost then. */
  readonly onError: (error: Error, datagrams: number) => void
}

export class BundleSender {
  readonly #options: BundleSenderOptions
  readonly #area: MessageArea
  readonly #lengths: Uint16Array = new Uint16Array(SLOTS)
  /** The slot with which each message of a call begins. */
  readonly #starts: Uint16Array = new Uint16Array(SLOTS)
  #mostInBundle: number
  /** The slots between these are taken. */
  #head = 0
  #end = 0

  constructor(options: BundleSenderOptions) {
    this.#options = options
    const { calls, datagramBytes } = options
    this.#mostInBundle = Math.max(1, Math.min(MOST_IN_BUNDLE, Math.floor(MOST_BUNDLE_BYTES / datagramBytes)))
    this.#area = messageArea(calls, SLOTS, CONTROL_BYTES, SLOTS * datagramBytes)
    const { view, controlsAt } = this.#area
    for (let slot = 0; slot < SLOTS; slot++) {
      const control = controlsAt + slot * CONTROL_BYTES
      setWord(view, control, CONTROL_HEADER_BYTES + 2)
      view.setInt32(control + 8, UDP.level, true)
      view.setInt32(control + 12, UDP.segment, true)
      view.setUint16(control + CONTROL_HEADER_BYTES, datagramBytes, true)
    }
  }

  /** Whether another datagram can be added before the next flush. */
  get hasRoom(): boolean {
    return this.#end < SLOTS
  }

  /** Adds a copy. There must be room. */
  add(datagram: Uint8Array): void {
    this.#area.bytes.set(datagram, this.#area.dataAt + this.#end * this.#options.datagramBytes)
    this.#lengths[this.#end++] = datagram.length
  }

  /** Gives to the system what was added; false while it has no place for all of it. */
  flush(): boolean {
    while (this.#head < this.#end) {
      const { calls, handle } = this.#options
      const messages = this.#layOut()
      const sent = calls.sendmmsg(handle.fd, this.#area.address, messages, DONT_WAIT)
      if (sent < 0) {
        const errno = calls.errno()
        if (errno === EAGAIN) return false
        if (errno !== EINTR) this.#failed(errno, messages)
      } else this.#head = sent < messages ? this.#starts[sent]! : this.#end
    }
    this.#head = 0
    this.#end = 0
    return true
  }

  /** Describes the datagrams to be sent as messages; how many. */
  #layOut(): number {
    const { view, dataAt } = this.#area
    const { datagramBytes } = this.#options
    let messages = 0
    for (let slot = this.#head; slot < this.#end; messages++) {
      const isWhole = this.#lengths[slot] === datagramBytes
      let next = slot + 1
      while (isWhole && next < this.#end && next - slot < this.#mostInBundle && this.#lengths[next] === datagramBytes) next++
      const bytes = isWhole ? (next - slot) * datagramBytes : this.#lengths[slot]!
      setPiece(this.#area, messages, dataAt + slot * datagramBytes, bytes)
      setWord(view, messages * MESSAGE.bytes + MESSAGE.controlBytes, next - slot > 1 ? CONTROL_BYTES : 0)
      this.#starts[messages] = slot
      slot = next
    }
    return messages
  }

  /** The first message was refused: it is sent in single datagrams if that may help, else it is lost. */
  #failed(errno: number, messages: number): void {
    const end = messages > 1 ? this.#starts[1]! : this.#end
    // An interface without checksum offload, or a path of a smaller MTU, takes no bundles.
    if (end - this.#head > 1 && (errno === EINVAL || errno === EIO || errno === EMSGSIZE)) {
      this.#mostInBundle = 1
      return
    }
    const code = getSystemErrorName(-errno)
    this.#options.onError(Object.assign(new Error(`sendmmsg ${code}`), { errno: -errno, code, syscall: 'sendmmsg' }), end - this.#head)
    this.#head = end
  }
}
