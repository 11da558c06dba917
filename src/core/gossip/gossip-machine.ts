/**
 * One gossiping node, put together: membership, events and queries as Serf has them (`serf/`), the state that each node keeps for all
 * (`state/`), and the trees that carry events between Polycast nodes (`broadcast/`).
 *
 * State and trees speak to the same layer of other Polycast nodes in user messages that begin with 0x50, of which agents of Serf get none:
 *
 *   extension = 50, u8 part, bytes         part: 1 state (docs/specs/05-state.md), 2 trees (docs/specs/06-broadcast.md)
 *
 * An event or query of this node goes into the tree as it is encoded for Serf, and what a tree brings is handed to Serf's rules, which
 * also see what came by gossip: one place decides what is new. Not here: any rule of the three.
 */
import { concatBytes } from '../lib/bytes.ts'
import { BroadcastMachine } from './broadcast/broadcast-machine.ts'
import type { BroadcastOutput } from './broadcast/broadcast-types.ts'
import { isPolycast } from './polycast-tag.ts'
import { SerfMachine } from './serf/serf.ts'
import type { SerfInput, SerfMember, SerfOptions, SerfOutput } from './serf/serf-types.ts'
import { StateMachine } from './state/state-machine.ts'
import type { StateOutput } from './state/state-types.ts'

const EXTENSION = 0x50
const PART_STATE = 1
const PART_BROADCAST = 2
/**
 * A node that joins while an event is sent may be told of it neither by the member that it joins by nor by the tree, and would have it from
 * the next exchange of everything, up to minutes later. So it asks the tree for the last seconds; what is too old for it Serf's rules leave out.
 */
const NEWCOMER_MS = 5000

export type GossipInput =
  | Exclude<SerfInput, { type: 'event' | 'spread' | 'send-extension' }>
  /** Send an event to all; `event` is the caller's own number for the report. */
  | {
      readonly type: 'event'
      readonly event: number
      readonly name: string
      readonly payload: Uint8Array
      readonly canCoalesce: boolean
      readonly wantsReport: boolean
    }
  /** Set a key of this node's state; `check` says beforehand whether it may be. */
  | { readonly type: 'set-state'; readonly key: string; readonly value: Uint8Array; readonly ttlMs: number | undefined }
  | { readonly type: 'remove-state'; readonly key: string }
  /** Members that one datagram reaches, all of them, and how long a shout may be. */
  | { readonly type: 'reached'; readonly nodes: ReadonlySet<string>; readonly maxBytes: number }
  /** What another node shouted. */
  | { readonly type: 'shouted'; readonly bytes: Uint8Array }

export type GossipOutput =
  | Exclude<SerfOutput, { type: 'extension' | 'spread' }>
  /** Which Polycast nodes have an event. */
  | {
      readonly type: 'report'
      readonly event: number
      readonly reached: number
      readonly of: number
      readonly missing: readonly string[]
    }
  /** One datagram for all that it reaches. */
  | { readonly type: 'shout'; readonly bytes: Uint8Array }
  /** A key of a node's state is another; undefined: it is gone. */
  | Extract<StateOutput, { type: 'changed' }>
  /** A member sent what no honest one sends. */
  | { readonly type: 'refused'; readonly from: string; readonly reason: string }

export interface GossipOptions extends Omit<SerfOptions, 'isPolycast'> {
  /** Grows with each start of the node: ms since 1970 at the start, where the clock is right. */
  readonly generation: number
  /** Milliseconds since 1970 at the start. */
  readonly wallClockMs: number
}

export class GossipMachine {
  readonly #serf: SerfMachine
  readonly #state: StateMachine
  readonly #broadcast: BroadcastMachine
  readonly #node: string
  /** Polycast nodes that are there. */
  readonly #peers: Set<string> = new Set()
  #outputs: GossipOutput[] = []
  /** The event that is being sent. */
  #sending: { readonly event: number; readonly wantsReport: boolean } | undefined

  constructor(options: GossipOptions, now: number) {
    const { node, random, generation, wallClockMs } = options
    this.#node = node
    this.#serf = new SerfMachine({ ...options, isPolycast }, now)
    this.#state = new StateMachine({ node, generation, wallClockMs, random: random.fork('state') }, now)
    this.#broadcast = new BroadcastMachine({ node, random: random.fork('broadcast'), settings: { newcomerMs: NEWCOMER_MS } })
    if (options.members !== undefined) for (const member of this.#serf.members()) this.#memberChanged(member, false, now)
    this.#route(now)
  }

  get serf(): SerfMachine {
    return this.#serf
  }

  get state(): StateMachine {
    return this.#state
  }

  get broadcast(): BroadcastMachine {
    return this.#broadcast
  }

  drain(): GossipOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  nextDeadline(): number {
    return Math.min(this.#serf.nextDeadline(), this.#state.nextDeadline(), this.#broadcast.nextDeadline())
  }

  handleTimeout(now: number): void {
    if (this.#serf.nextDeadline() <= now) this.#serf.handleTimeout(now)
    if (this.#state.nextDeadline() <= now) this.#state.handleTimeout(now)
    if (this.#broadcast.nextDeadline() <= now) this.#broadcast.handleTimeout(now)
    this.#route(now)
  }

  handle(input: GossipInput, now: number): void {
    switch (input.type) {
      case 'event': {
        const { event, name, payload, canCoalesce, wantsReport } = input
        this.#sending = { event, wantsReport }
        this.#serf.handle({ type: 'event', name, payload, canCoalesce }, now)
        break
      }
      case 'set-state':
        this.#state.handle({ type: 'set', key: input.key, value: input.value, ttlMs: input.ttlMs }, now)
        break
      case 'remove-state':
        this.#state.handle({ type: 'remove', key: input.key }, now)
        break
      case 'reached':
      case 'shouted':
        this.#broadcast.handle(input, now)
        break
      default:
        this.#serf.handle(input, now)
    }
    this.#route(now)
    this.#sending = undefined
  }

  // ---- between the parts ----

  /** What one part puts out may be for another one, until none has anything left. */
  #route(now: number): void {
    for (;;) {
      const serf = this.#serf.drain()
      const state = this.#state.drain()
      const broadcast = this.#broadcast.drain()
      if (serf.length + state.length + broadcast.length === 0) return
      for (const output of serf) this.#serfOutput(output, now)
      for (const output of state) this.#stateOutput(output, now)
      for (const output of broadcast) this.#broadcastOutput(output, now)
    }
  }

  #serfOutput(output: SerfOutput, now: number): void {
    switch (output.type) {
      case 'extension':
        return this.#extension(output.from, output.bytes, now)
      case 'spread': {
        const { event = 0, wantsReport = false } = this.#sending ?? {}
        return this.#broadcast.handle({ type: 'broadcast', broadcast: event, payload: output.bytes, wantsReport }, now)
      }
      case 'member':
        this.#memberChanged(output.member, output.change === 'reaped', now)
        break
      default:
    }
    this.#outputs.push(output)
  }

  #memberChanged(member: SerfMember, isReaped: boolean, now: number): void {
    const { name: node } = member
    if (node === this.#node) return
    const isPeer = !isReaped && isPolycast(member) && (member.status === 'alive' || member.status === 'leaving')
    if (isPeer !== this.#peers.has(node)) {
      if (isPeer) this.#peers.add(node)
      else this.#peers.delete(node)
      const type = isPeer ? 'member-up' : 'member-down'
      this.#state.handle({ type, node }, now)
      this.#broadcast.handle({ type, node }, now)
    }
    if (isReaped) this.#state.handle({ type: 'member-forgotten', node }, now)
  }

  #extension(from: string, bytes: Uint8Array, now: number): void {
    const message = { type: 'message', from, bytes: bytes.subarray(2) } as const
    if (bytes[1] === PART_STATE) this.#state.handle(message, now)
    else if (bytes[1] === PART_BROADCAST) this.#broadcast.handle(message, now)
  }

  #stateOutput(output: StateOutput, now: number): void {
    if (output.type === 'send') return this.#sendExtension(output.to, PART_STATE, output.bytes, now)
    this.#outputs.push(output)
  }

  #broadcastOutput(output: BroadcastOutput, now: number): void {
    switch (output.type) {
      case 'send':
        return this.#sendExtension(output.to, PART_BROADCAST, output.bytes, now)
      case 'deliver':
        return this.#serf.handle({ type: 'spread', bytes: output.payload }, now)
      case 'report': {
        const { broadcast: event, reached, of, missing } = output
        this.#outputs.push({ type: 'report', event, reached, of, missing })
        return
      }
      case 'shout':
      case 'refused':
        this.#outputs.push(output)
    }
  }

  #sendExtension(to: string, part: number, bytes: Uint8Array, now: number): void {
    this.#serf.handle({ type: 'send-extension', to, bytes: concatBytes([Uint8Array.of(EXTENSION, part), bytes]) }, now)
  }
}
