/**
 * What the simulator drives: a node, whatever its machine. Here is the adapter for `SwimMachine` alone; `whole-node.ts` has that for a node
 * with all its layers. The world and the checks are the same for both.
 */
import type { Random } from '../../core/lib/random.ts'
import type { MemberSnapshot } from '../../core/gossip/member-snapshot.ts'
import type { Endpoint, MemberState, ProtocolVersions } from '../../core/gossip/messages.ts'
import type { GossipProfile } from '../../core/gossip/profile.ts'
import type { SerfOutput } from '../../core/gossip/serf/serf-types.ts'
import { SwimMachine } from '../../core/gossip/swim.ts'
import type { SwimInput, SwimOutput, SwimStatus } from '../../core/gossip/swim-types.ts'
import { partBytes } from './message-bytes.ts'

/** What the network brings. */
export type TransportInput = Extract<SwimInput, { type: 'packet' | 'send-failed' | 'stream-opened' | 'stream-answered' | 'stream-failed' }>

export type SimOutput =
  | SwimOutput
  /** Something that each node is to see exactly once, by its key. */
  | { readonly type: 'event'; readonly key: string }
  /** A node's key in the state of all is another: the node's name, a space, the key. */
  | { readonly type: 'state'; readonly key: string }
  /** What must not happen among nodes that are all honest. */
  | { readonly type: 'wrong'; readonly what: string }
  | Extract<SerfOutput, { readonly type: 'send-stream' }>

export interface SimNode {
  handle(input: TransportInput, now: number): void
  handleTimeout(now: number): void
  nextDeadline(): number
  drain(): readonly SimOutput[]
  join(endpoints: readonly Endpoint[], now: number): void
  leave(now: number): void
  /** The node says something else of itself from now on. */
  change(meta: Uint8Array, now: number): void
  status(): SwimStatus
  stateOf(node: string): MemberState | undefined
}

export interface SimNodeOptions {
  readonly node: string
  readonly endpoint: Endpoint
  readonly meta: Uint8Array
  readonly profile: GossipProfile
  readonly random: Random
  readonly members: MemberSnapshot | undefined
}

export type CreateSimNode = (options: SimNodeOptions, now: number) => SimNode

export const VERSIONS: ProtocolVersions = [1, 5, 5, 2, 5, 5]
/** A packet of 1400 bytes less what its layers take. */
export const PACKET_BYTES = 1393
/** How often the layer above SWIM tries one that it holds for dead, ms: Serf's. */
const RECONNECT_MS = 30_000
/** Dead ones that it remembers at the most. */
const MOST_RECONNECTS = 4096

/** `SwimMachine`, and of the layer above it the one thing without which no partition ever heals: trying the dead again. */
export class SwimNode implements SimNode {
  readonly #machine: SwimMachine
  readonly #random: Random
  readonly #dead: Map<string, Endpoint> = new Map()
  #reconnectAt: number

  constructor({ members, ...options }: SimNodeOptions, now: number) {
    const given = { ...options, versions: VERSIONS, messageBytes: partBytes, packetBytes: PACKET_BYTES, isPeer: () => true }
    this.#machine = new SwimMachine(members === undefined ? given : { ...given, members }, now)
    this.#random = options.random.fork('reconnect')
    this.#reconnectAt = now + this.#random.float() * RECONNECT_MS
  }

  handle(input: TransportInput, now: number): void {
    this.#machine.handle(input, now)
  }

  handleTimeout(now: number): void {
    if (now >= this.#machine.nextDeadline()) this.#machine.handleTimeout(now)
    if (now >= this.#reconnectAt) this.#reconnect(now)
  }

  nextDeadline(): number {
    return Math.min(this.#machine.nextDeadline(), this.#reconnectAt)
  }

  drain(): readonly SimOutput[] {
    const outputs = this.#machine.drain()
    for (const output of outputs) {
      if (output.type === 'failed' && this.#dead.size < MOST_RECONNECTS) {
        const { node, address, port } = output.member
        this.#dead.set(node, { address, port })
      } else if (output.type === 'joined' || output.type === 'left') this.#dead.delete(output.member.node)
    }
    return outputs
  }

  join(endpoints: readonly Endpoint[], now: number): void {
    this.#machine.handle({ type: 'join', endpoints }, now)
  }

  leave(now: number): void {
    this.#machine.handle({ type: 'leave' }, now)
    this.#reconnectAt = Infinity
  }

  change(meta: Uint8Array, now: number): void {
    this.#machine.handle({ type: 'meta', meta }, now)
  }

  status(): SwimStatus {
    return this.#machine.status()
  }

  stateOf(node: string): MemberState | undefined {
    return this.#machine.member(node)?.state
  }

  /** As likely as there are dead ones among the living, so that a cluster as a whole tries about as often as it has dead ones. */
  #reconnect(now: number): void {
    this.#reconnectAt = now + RECONNECT_MS
    if (this.#dead.size === 0) return
    const { alive } = this.#machine.status()
    if (this.#random.float() >= this.#dead.size / Math.max(alive, 1)) return
    this.join([this.#random.pick([...this.#dead.values()])], now)
  }
}
