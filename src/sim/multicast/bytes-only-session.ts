/**
 * Sessions whose symbols are one byte long: what is simulated is which packets come, not what is in them. Each block has a byte of its own, so
 * that what was decoded still tells whether it is what was sent; parity of a block has the same byte. On the wire each symbol counts in
 * full: `ScaledRate` tells the rate control so.
 */
import { assert } from '../../core/lib/assert.ts'
import { DATA_HEADER_BYTES } from '../../core/multicast/data-packet.ts'
import type { ErasureCode, RateControl, ReceiverReport, SessionCipher } from '../../core/multicast/session-types.ts'

/** Bytes of a symbol as the machines see it. */
export const TINY_SYMBOL_BYTES = 1
/** Of a data packet as the machines see it. */
export const TINY_DATAGRAM_BYTES: number = DATA_HEADER_BYTES + TINY_SYMBOL_BYTES
/** What AEAD adds to a control packet. */
const SEAL_BYTES = 16

function byteOf(block: number): number {
  return 1 + ((block * 151) % 255)
}

/** The payload of a block for a session of `maxPayloadBytes`. */
export function payloadOf(block: number, bytes: number): Uint8Array {
  return new Uint8Array(bytes).fill(byteOf(block))
}

export function isPayloadOf(block: number, payload: Uint8Array, bytes: number): boolean {
  const byte = byteOf(block)
  return payload.length === bytes && payload.every((each) => each === byte)
}

/** Seals nothing, as long as a cipher would. */
export const PLAIN_CIPHER: SessionCipher = {
  blockOverheadBytes: 0,
  controlOverheadBytes: SEAL_BYTES,
  sealBlock: (_block, payload) => payload.slice(),
  openBlock: (_block, sealed) => sealed,
  sealControl: (_senderId, _counter, _header, payload) => {
    const sealed = new Uint8Array(payload.length + SEAL_BYTES)
    sealed.set(payload)
    return sealed
  },
  openControl: (_senderId, _counter, _header, sealed) => sealed.subarray(0, sealed.length - SEAL_BYTES),
  tagData: () => NO_TAG,
}
const NO_TAG = [0, 0] as const

/** Code of blocks of which every symbol but the last, which ends with the padding's length, has the block's byte. */
export const TINY_CODE: ErasureCode = {
  maxSymbols: 256,
  encode: (source, _k, _symbolBytes, _firstParity, count, parity) => {
    parity.fill(source[0]!, 0, count)
  },
  decode: (source, k, _symbolBytes, missing, parity, parityRows) => {
    assert(new Set(parityRows).size === missing.length && parity.length >= missing.length, 'a parity symbol for each that is missing')
    for (const index of missing) source[index] = index === k - 1 ? 0 : parity[0]!
  },
}

/** A rate that is told of packets as long as they would be. */
export class ScaledRate implements RateControl {
  readonly #rate: RateControl
  readonly #datagramBytes: number

  constructor(rate: RateControl, datagramBytes: number) {
    this.#rate = rate
    this.#datagramBytes = datagramBytes
  }

  get rateBytesPerSec(): number {
    return this.#rate.rateBytesPerSec
  }

  get isStarting(): boolean {
    return this.#rate.isStarting
  }

  get proactiveShare(): number {
    return this.#rate.proactiveShare
  }

  isSlow(receiver: number): boolean {
    return this.#rate.isSlow(receiver)
  }

  takeSlow(): number[] {
    return this.#rate.takeSlow()
  }

  report(report: ReceiverReport, now: number): void {
    const receivedBytesPerSec = (report.receivedBytesPerSec * this.#datagramBytes) / TINY_DATAGRAM_BYTES
    this.#rate.report({ ...report, receivedBytesPerSec }, now)
  }

  sent(bytes: number, now: number): void {
    this.#rate.sent(bytes === TINY_DATAGRAM_BYTES ? this.#datagramBytes : bytes, now)
  }

  handleTimeout(now: number): void {
    this.#rate.handleTimeout(now)
  }

  nextDeadline(): number {
    return this.#rate.nextDeadline()
  }
}
