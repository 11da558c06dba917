/**
 * What must hold in every simulated multicast session, by what comes out and not by what the machines think.
 *
 * Safety, at every step: a block is told of once, delivered or given up, and never both; it is one that the sender was given, with the bytes that it
 * was given; nothing comes before the first block that the receiver was welcomed for. Bounds, at every sample: blocks under way at a
 * receiver, packets under way for each. Liveness, at the end: the sender has ended, unless it was killed; every receiver that runs has all blocks,
 * or was told otherwise, which only those may be to whom something happened.
 */
import { Bitfield } from '../../core/lib/bitfield.ts'
import { DEFAULT_RECEIVER_LIMITS } from '../../core/multicast/session-machine-types.ts'
import { isPayloadOf } from './bytes-only-session.ts'
import type { MulticastWorld, ReceiverHost } from './multicast-world.ts'

const MOST_KEPT = 20
/** Packets, timers and feedback under way, for each receiver, and as many for all as a full queue has packets. */
const MOST_EVENTS_PER_RECEIVER = 64
const MOST_EVENTS = 20_000

export class MulticastChecks {
  readonly violations: string[] = []
  readonly #world: MulticastWorld
  readonly #told: Map<ReceiverHost, Bitfield> = new Map()

  constructor(world: MulticastWorld) {
    this.#world = world
  }

  delivered(host: ReceiverHost, block: number, payload: Uint8Array): void {
    this.#tell(host, block)
    host.held++
    if (!isPayloadOf(block, payload, this.#world.sender.maxPayloadBytes))
      this.#violated(`${host.name} gave out wrong bytes as block ${block}`)
  }

  gaveUp(host: ReceiverHost, block: number): void {
    this.#tell(host, block)
    // What began before it came is not promised, though it may have heard a part of it.
    if (block >= host.firstBlock) host.givenUp++
  }

  #tell(host: ReceiverHost, block: number): void {
    const { given, options } = this.#world
    if (block >= given) return this.#violated(`${host.name} told of block ${block}, and ${given} were given`)
    let told = this.#told.get(host)
    if (told === undefined) this.#told.set(host, (told = new Bitfield(options.blocks)))
    if (told.has(block)) this.#violated(`${host.name} told of block ${block} twice`)
    told.set(block)
  }

  /** Looks at every receiver, or at a few of very many. */
  sample(): void {
    const { hosts, pendingEvents } = this.#world
    this.#limit('events under way', pendingEvents, MOST_EVENTS + MOST_EVENTS_PER_RECEIVER * hosts.length)
    const most = this.#world.options.receiverLimits?.windowBlocks ?? DEFAULT_RECEIVER_LIMITS.windowBlocks
    const step = Math.ceil(hosts.length / 100)
    for (let at = 0; at < hosts.length; at += step) {
      const { machine, name } = hosts[at]!
      if (machine !== undefined) this.#limit(`blocks under way at ${name}`, machine.status().openBlocks, most)
    }
  }

  /** @param isHarmed to whom something happened, so that it need not have all */
  finish(isHarmed: (receiver: number) => boolean): void {
    const { hosts, finished, isSenderKilled, options } = this.#world
    if (finished === undefined && !isSenderKilled) this.#violated('the sender never ended')
    for (const host of hosts) {
      if (host.isKilled) continue
      if (host.ended === undefined) this.#violated(`${host.name} never ended: ${host.held} of ${options.blocks} blocks`)
      else if (
        !isHarmed(host.index) &&
        (host.ended !== 'complete' || host.givenUp > 0 || host.held < options.blocks - Math.max(0, host.firstBlock))
      )
        this.#violated(`${host.name} ended as ${host.ended} with ${host.held} of ${options.blocks} blocks, ${host.givenUp} given up`)
    }
  }

  #limit(what: string, value: number, most: number): void {
    if (value > most) this.#violated(`${value} ${what}; ${most} are the limit`)
  }

  #violated(what: string): void {
    if (this.violations.length < MOST_KEPT) this.violations.push(`at ${Math.round(this.#world.now)} ms: ${what}`)
  }
}
