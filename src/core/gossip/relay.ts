/**
 * Pings for others: the relay's side of an indirect ping. SWIM §3.1, Lifeguard §IV-A.
 *
 * It pings under a number of its own, and passes the ack on under the asker's, if it comes within the probe time-out. Short of that it
 * says that it got none within the time that it would give a ping of its own, to an asker that understands it: memberlist says so at the very end, when in a cluster in good health the
 * asker has just given up, and takes the missing nack for a fault of its own.
 */
import { isEndpoint, replyEndpoint } from './endpoint.ts'
import type { Endpoint, IndirectPing } from './messages.ts'
import { pingPatienceMs } from './profile.ts'
import type { SwimState } from './swim-state.ts'

/** The share of the probe time-out after which the asker is told; the paper's. */
const NACK_SHARE = 0.8

interface Relayed {
  /** The asker's number, and where it is. */
  readonly sequence: number
  readonly asker: Endpoint
  readonly askerNode: string | undefined
  /** When a nack is sent; Infinity for none, or none any more. */
  nackAt: number
  readonly endsAt: number
}

export class Relay {
  readonly #state: SwimState
  /** By this member's own number of the ping. */
  readonly #relayed: Map<number, Relayed> = new Map()

  constructor(state: SwimState) {
    this.#state = state
  }

  nextDeadline(): number {
    let earliest = Infinity
    for (const { nackAt, endsAt } of this.#relayed.values()) earliest = Math.min(earliest, nackAt, endsAt)
    return earliest
  }

  handleTimeout(now: number): void {
    for (const [sequence, relayed] of this.#relayed) {
      if (now >= relayed.nackAt) {
        relayed.nackAt = Infinity
        this.#state.send(relayed.asker, relayed.askerNode, [{ type: 'nack', sequence: relayed.sequence }])
      }
      if (now >= relayed.endsAt) this.#relayed.delete(sequence)
    }
  }

  handleIndirectPing(request: IndirectPing, from: Endpoint, now: number): void {
    const { limits, profile, source } = this.#state
    const target = { address: request.target, port: request.port }
    if (!isEndpoint(target)) return void this.#state.refusedMessages++
    if (this.#relayed.size >= limits.maxRelayed) return void this.#state.refusedRelays++
    const sequence = this.#state.nextSequence()
    this.#relayed.set(sequence, {
      sequence: request.sequence,
      asker: replyEndpoint(request, from),
      askerNode: request.sourceNode,
      nackAt: request.nack ? now + NACK_SHARE * this.#patienceMs(request.node) : Infinity,
      endsAt: now + profile.probeTimeoutMs,
    })
    this.#state.send(target, request.node, [{ type: 'ping', sequence, node: request.node, ...source }])
  }

  /** As the asker has waited already, no longer for one whose round trip is not known here than the least. */
  #patienceMs(node: string): number {
    const { profile, table } = this.#state
    return pingPatienceMs(profile, table.get(node)?.lastRttMs ?? 0)
  }

  /** Whether the ack is one for a ping that was made for another. */
  handleAck(sequence: number): boolean {
    const relayed = this.#relayed.get(sequence)
    if (relayed === undefined) return false
    this.#relayed.delete(sequence)
    this.#state.send(relayed.asker, relayed.askerNode, [{ type: 'ack', sequence: relayed.sequence, payload: undefined }])
    return true
  }
}
