/**
 * When a node sends its beacon on one network, and what it makes of those that it hears: for networks that drop multicast and pass
 * broadcasts. docs/specs/09-discovery.md §4.
 *
 * It is Trickle (RFC 6206): time is cut into intervals that double from `FIRST_INTERVAL_MS` to `LAST_INTERVAL_MS`; in each, the node
 * sends at a random moment of the second half, unless it has heard `ENOUGH` beacons of its own members by then. So a network of a thousand
 * members carries about as many beacons as one of ten, and each of them leads whoever is new to all. A beacon of somebody who is no member
 * silences nobody, so two halves of a cluster hear of each other. Unlike Trickle, news don't shorten the interval: who hears of a stranger
 * joins it, which needs no answer. Where beacons of strangers alone are many (clusters that share a network), intervals grow further.
 */
import { toHex } from '../../lib/bytes.ts'
import type { Random } from '../../lib/random.ts'
import { decodeDiscoveryBeacon, encodeDiscoveryBeacon } from './discovery-beacon-codec.ts'
import type { ClusterIdentity, Discovered, DiscoveredEndpoint, Stranger } from './membership-proof.ts'
import { PerSecondLimit } from './per-second-limit.ts'

export interface DiscoveryBeaconOptions {
  readonly identity: ClusterIdentity
  readonly node: string
  /** Eight random bytes, new with each start of the node. */
  readonly id: Uint8Array
  /** Where this node is reached from this network. */
  readonly endpoint: DiscoveredEndpoint
  readonly isMember: (found: Discovered) => boolean
  readonly random: Random
}

export type DiscoveryBeaconInput = { readonly type: 'packet'; readonly bytes: Uint8Array }

export type DiscoveryBeaconOutput =
  /** To everybody on this network. */
  | { readonly type: 'send'; readonly bytes: Uint8Array }
  | { readonly type: 'found'; readonly found: Discovered }
  /** Somebody sends beacons who does not belong to this cluster. */
  | { readonly type: 'stranger'; readonly stranger: Stranger }

const FIRST_DELAY_MS = 200
const FIRST_INTERVAL_MS = 1000
const LAST_INTERVAL_MS = 8000
const ENOUGH = 3
/** Beacons of strangers per second, beyond which intervals double further. */
const MANY_STRANGERS_PER_SEC = 20
const LONGEST_INTERVAL_MS = 512_000
/** Beacons that are looked at per second; the rest is dropped and counted. */
const MAX_PER_SEC = 500

export class DiscoveryBeacon {
  readonly counters = { sent: 0, suppressed: 0, heard: 0, dropped: 0 }
  readonly #options: DiscoveryBeaconOptions
  readonly #ownId: string
  #intervalMs = FIRST_INTERVAL_MS
  #sendAt: number
  #intervalEndsAt = Infinity
  /** Members whose beacons came in this interval; each may come by several addresses. */
  readonly #membersHeard: Set<string> = new Set()
  #strangersHeard = 0
  readonly #reading: PerSecondLimit = new PerSecondLimit(MAX_PER_SEC)
  #outputs: DiscoveryBeaconOutput[] = []

  constructor(options: DiscoveryBeaconOptions, now: number) {
    this.#options = options
    this.#ownId = toHex(options.id)
    // The first one is sent whatever is heard: nobody knows this node yet.
    this.#sendAt = now + options.random.float() * FIRST_DELAY_MS
  }

  handle({ bytes }: DiscoveryBeaconInput, now: number): void {
    if (!this.#reading.take(1, now)) {
      this.counters.dropped++
      return
    }
    const content = decodeDiscoveryBeacon(bytes, this.#options.identity)
    if (typeof content === 'string') {
      this.#strangersHeard++
      this.#outputs.push({ type: 'stranger', stranger: content })
      return
    }
    if (content.id === this.#ownId) return
    this.counters.heard++
    if (this.#options.isMember(content)) {
      if (this.#membersHeard.size < ENOUGH) this.#membersHeard.add(content.id)
    } else this.#outputs.push({ type: 'found', found: content })
  }

  handleTimeout(now: number): void {
    if (now >= this.#sendAt) {
      this.#sendAt = Infinity
      if (this.#membersHeard.size < ENOUGH || this.#intervalEndsAt === Infinity) this.#send()
      else this.counters.suppressed++
      if (this.#intervalEndsAt === Infinity) this.#begin(now)
    }
    if (now >= this.#intervalEndsAt) {
      const strangersPerSec = (this.#strangersHeard * 1000) / this.#intervalMs
      const longestMs = strangersPerSec > MANY_STRANGERS_PER_SEC ? LONGEST_INTERVAL_MS : LAST_INTERVAL_MS
      this.#intervalMs = this.#intervalMs > longestMs ? this.#intervalMs / 2 : Math.min(longestMs, this.#intervalMs * 2)
      this.#begin(now)
    }
  }

  nextDeadline(): number {
    return Math.min(this.#sendAt, this.#intervalEndsAt)
  }

  drain(): DiscoveryBeaconOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  #begin(now: number): void {
    this.#membersHeard.clear()
    this.#strangersHeard = 0
    this.#sendAt = now + this.#intervalMs * (0.5 + this.#options.random.float() / 2)
    this.#intervalEndsAt = now + this.#intervalMs
  }

  #send(): void {
    const { identity, node, id, endpoint } = this.#options
    this.counters.sent++
    this.#outputs.push({ type: 'send', bytes: encodeDiscoveryBeacon({ node, id, ...endpoint }, identity) })
  }
}
