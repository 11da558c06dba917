/**
 * What is between two hosts: how long a packet takes, whether it gets lost, whether there is a way at all. Streams take round trips and
 * bytes over a rate; loss makes them late (`../tcp.ts`), and nothing on them gets lost.
 */
import type { Random } from '../../core/lib/random.ts'
import { lossyRate, retransmission } from '../tcp.ts'

export interface LinkOptions {
  /** One way, ms; each pair of hosts has its own between the two. */
  readonly minLatencyMs: number
  readonly maxLatencyMs: number
  /** Share of packets that get lost anywhere. */
  readonly loss: number
  /** The same for the packets that streams are made of; they are sent again. */
  readonly streamLoss: number
  readonly rateBytesPerSec: number
}

/** A packet takes up to this share longer than the link's latency. */
const JITTER = 0.1
/** Where the first packet of a stream is lost, ms (RFC 6298); then twice as long each time, up to a number of times. */
const SYN_TIMEOUT_MS = 1000
const MOST_SYNS = 6

export class Links {
  readonly options: LinkOptions
  readonly #random: Random
  readonly #salt: number
  /** Hosts of different parts do not reach each other; none for all in one. */
  #parts: ReadonlyMap<number, number> = new Map()
  /** By sender: whom it does not reach. */
  readonly #blocked: Map<number, Set<number>> = new Map()
  /** Hosts to and from which no packet comes through; streams do. */
  readonly withoutPackets: Set<number> = new Set()
  /** Share of all packets to and from a host that get lost, beside the general one. */
  readonly lossOf: Map<number, number> = new Map()

  constructor(options: LinkOptions, random: Random) {
    this.options = options
    this.#random = random
    this.#salt = random.fork('salt').uint32()
  }

  partition(parts: ReadonlyMap<number, number>): void {
    this.#parts = parts
  }

  /** From now on nothing from one comes to the other; what goes the other way does. */
  block(from: number, to: number): void {
    const blocked = this.#blocked.get(from)
    if (blocked === undefined) this.#blocked.set(from, new Set([to]))
    else blocked.add(to)
  }

  unblock(from: number, to: number): void {
    this.#blocked.get(from)?.delete(to)
  }

  /** Whether what one sends has a way to the other. */
  isOpen(from: number, to: number): boolean {
    if (this.#parts.size > 0 && (this.#parts.get(from) ?? 0) !== (this.#parts.get(to) ?? 0)) return false
    return this.#blocked.size === 0 || this.#blocked.get(from)?.has(to) !== true
  }

  /** When a packet that is sent now arrives, in ms from now; undefined when it gets lost. */
  packetDelayMs(from: number, to: number): number | undefined {
    if (!this.isOpen(from, to)) return undefined
    if (this.withoutPackets.size > 0 && (this.withoutPackets.has(from) || this.withoutPackets.has(to))) return undefined
    const loss = this.#lossBetween(this.options.loss, from, to)
    if (loss > 0 && this.#random.float() < loss) return undefined
    return this.#latencyMs(from, to) * (1 + JITTER * this.#random.float())
  }

  /** How long it takes to open a stream; undefined when it cannot be opened. */
  openingDelayMs(from: number, to: number): number | undefined {
    if (!this.isOpen(from, to) || !this.isOpen(to, from)) return undefined
    const loss = this.#lossBetween(this.options.streamLoss, from, to)
    let delayMs = 2 * this.#latencyMs(from, to)
    if (loss === 0) return delayMs
    // There and back; whichever is lost, the first one is sent again.
    for (let tries = 1; this.#random.float() < 1 - (1 - loss) ** 2; tries++) {
      if (tries === MOST_SYNS) return undefined
      delayMs += SYN_TIMEOUT_MS * 2 ** (tries - 1)
    }
    return delayMs
  }

  /** How long so many bytes take on a stream, one way. */
  streamDelayMs(from: number, to: number, bytes: number): number {
    const latencyMs = this.#latencyMs(from, to)
    const loss = this.#lossBetween(this.options.streamLoss, from, to)
    const rate = Math.min(this.options.rateBytesPerSec / 1000, lossyRate(loss, 2 * latencyMs))
    const again = loss === 0 ? 0 : retransmission(this.#random, bytes, loss, 2 * latencyMs).delayMs
    return latencyMs + bytes / rate + again
  }

  #lossBetween(loss: number, from: number, to: number): number {
    if (this.lossOf.size === 0) return loss
    const through = (1 - loss) * (1 - (this.lossOf.get(from) ?? 0)) * (1 - (this.lossOf.get(to) ?? 0))
    return 1 - through
  }

  /** The same both ways, and for the whole run: made of the pair's numbers. */
  #latencyMs(a: number, b: number): number {
    const { minLatencyMs, maxLatencyMs } = this.options
    let hash = this.#salt ^ Math.imul(Math.min(a, b) + 1, 0x9e3779b1) ^ Math.imul(Math.max(a, b) + 1, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
    hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39)
    const share = ((hash ^ (hash >>> 15)) >>> 0) / 0x100000000
    return minLatencyMs + (maxLatencyMs - minLatencyMs) * share
  }
}
