/**
 * What goes into and comes out of the machines of one reliable multicast session, and what they are handed.
 *
 * A session carries a sequence of blocks from one sender to a group. What is in a block is not the machines' matter
 * (`content-block.ts` puts chunks into it). Each block is sealed by the cipher, cut into `k` source symbols of `symbolBytes`, and
 * repaired by parity symbols. docs/specs/07-multicast.md has the grammar, the states and the timers.
 */

/** Seals and opens what a session sends. Without a group key: the identity, with a checksum for control packets. */
export interface SessionCipher {
  /** Bytes that sealing adds to a block. */
  readonly blockOverheadBytes: number
  /** Bytes that sealing adds to a control packet. */
  readonly controlOverheadBytes: number
  /** Seals a block into a new array of `payload.length + blockOverheadBytes`. */
  sealBlock(block: number, payload: Uint8Array): Uint8Array
  /**
   * The payload, possibly a view of `sealed`, which may be overwritten then; undefined if it was not sealed by a holder of the key for this
   * block: then `sealed` is left as it was.
   */
  openBlock(block: number, sealed: Uint8Array): Uint8Array | undefined
  /**
   * Seals a control packet; `header` is authenticated with it. `senderId` is below 2^48 (0 is the session's sender, receivers draw theirs),
   * `counter` below 2^32; the pair is never used twice in a session, so that a nonce can be made of it.
   */
  sealControl(senderId: number, counter: number, header: Uint8Array, payload: Uint8Array): Uint8Array
  openControl(senderId: number, counter: number, header: Uint8Array, sealed: Uint8Array): Uint8Array | undefined
  /**
   * A 64-bit authenticator of one data packet, as two unsigned 32-bit halves, over the bytes that follow it there (`covered`); its key is the
   * session's. The sender writes it into each; receivers look at it for the first packet of a block, once a block did not open, and
   * from then on for as long as somebody injects.
   */
  tagData(covered: Uint8Array): readonly [high: number, low: number]
}

/** Makes parity of symbols, and symbols of parity: systematic Reed–Solomon over GF(256). */
export interface ErasureCode {
  /** Symbols of a block at the most, source and parity together: 256 over GF(256). */
  readonly maxSymbols: number
  /**
   * Parity rows `firstParity` to `firstParity + count` of `k` source symbols that lie one after the other in `source`
   * (`k * symbolBytes` bytes), one after the other, into `parity`.
   */
  encode(source: Uint8Array, k: number, symbolBytes: number, firstParity: number, count: number, parity: Uint8Array): void
  /**
   * Restores the missing source symbols of a block in place: `source` holds those that came at their places, `missing` names
   * those that did not (ascending), `parity` holds as many parity symbols one after the other, `parityRows` says which ones.
   */
  decode(
    source: Uint8Array,
    k: number,
    symbolBytes: number,
    missing: readonly number[],
    parity: Uint8Array,
    parityRows: readonly number[],
  ): void
}

/** What all members of a session know from its invitation. */
export interface SessionParameters {
  /** Eight random bytes, in hex: the first bytes of each packet of the session. */
  readonly sessionId: string
  /** The UDP payload of a data packet at the most, bytes, headers of the session included. */
  readonly datagramBytes: number
  /** Bytes of a whole symbol, where they are fewer than a datagram has room for: the simulator's carry next to nothing. */
  readonly symbolBytes?: number
  /** Source symbols of a whole block. */
  readonly blockSymbols: number
}

/** What a receiver tells of itself and its path, for the rate of the session. Counts are since the report before. */
export interface ReceiverReport {
  /** Index that the sender gave to the receiver. */
  readonly receiver: number
  readonly receivedPackets: number
  /** By gaps in the sequence numbers. */
  readonly lostPackets: number
  /** Runs of consecutive losses: loss events. */
  readonly lossBursts: number
  /** Of the lost: dropped by this host's own socket, because the process was too slow to read. */
  readonly overrunPackets: number
  /** One-way delay above the least that was ever seen, ms: the queue on the path. */
  readonly queueMs: number
  /** Bytes per second that arrived. */
  readonly receivedBytesPerSec: number
  /** Undefined before the first measurement. */
  readonly rttMs: number | undefined
}

export type RateMode = 'fair' | 'scavenger' | 'fixed'

/** How fast a session may send. A machine of its own: `rate-control.ts`. */
export interface RateControl {
  /** Bytes per second, counted as UDP payload plus `packetOverheadBytes` per packet. */
  readonly rateBytesPerSec: number
  /** The rate doubles by each round of reports: the sooner they come, the sooner it is what the path carries. */
  readonly isStarting: boolean
  /** Share of parity to send before anybody asks for it, 0 to 1 of the source symbols, by the loss that was measured. */
  readonly proactiveShare: number
  /** Whether a receiver is on its way out by `takeSlow`: what it asks for would be sent at the cost of the others. */
  isSlow(receiver: number): boolean
  /** Receivers that hold the others and are to be left to the swarm, since the call before. */
  takeSlow(): number[]
  report(report: ReceiverReport, now: number): void
  sent(bytes: number, now: number): void
  handleTimeout(now: number): void
  nextDeadline(): number
}
