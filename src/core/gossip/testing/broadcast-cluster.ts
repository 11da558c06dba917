/**
 * Broadcast machines on a network without wires, for tests: virtual time, links of 1 to 5 ms, messages that get lost by chance, hosts that
 * crash, and a membership that is told to all or to some. Light enough for ten thousand. The same seed gives the same run.
 */
import { assert } from '../../lib/assert.ts'
import { EventQueue } from '../../lib/event-queue.ts'
import { Random } from '../../lib/random.ts'
import { BroadcastMachine } from '../broadcast/broadcast-machine.ts'
import type { BroadcastInput, BroadcastOutput, BroadcastSettings, BroadcastStats } from '../broadcast/broadcast-types.ts'

export interface BroadcastHost {
  readonly node: string
  readonly machine: BroadcastMachine
  isUp: boolean
  wakeAt: number
}

export interface Delivery {
  readonly at: number
  readonly node: string
  readonly origin: string
  readonly payload: Uint8Array
  readonly hops: number
}

export type ReportOutput = Extract<BroadcastOutput, { type: 'report' }>

interface Task {
  /** Who is woken, or gets a message. */
  readonly host: BroadcastHost
  readonly from: string
  readonly bytes: Uint8Array | undefined
}

const MIN_LATENCY_MS = 1
const LATENCY_SPREAD_MS = 4

export class BroadcastCluster {
  now = 0
  lossShare = 0
  isOpen: (from: string, to: string) => boolean = () => true
  /** Whether a datagram for many arrives. */
  isHeard: (from: string, to: string) => boolean = () => true
  shouts = 0
  readonly hosts: Map<string, BroadcastHost> = new Map()
  readonly deliveries: Delivery[] = []
  readonly reports: { readonly at: number; readonly node: string; readonly report: ReportOutput }[] = []
  readonly refused: { readonly node: string; readonly from: string; readonly reason: string }[] = []
  sentMessages = 0
  readonly #random: Random
  readonly #settings: Partial<BroadcastSettings>
  readonly #agenda: EventQueue<Task> = new EventQueue()
  #lives = 0

  constructor(seed: number | string, settings: Partial<BroadcastSettings> = {}) {
    this.#random = new Random(seed)
    this.#settings = settings
  }

  /** Starts a node that knows nobody, in place of one of this name if there was one. */
  add(node: string): BroadcastHost {
    const random = this.#random.fork(`${node}/${this.#lives++}`)
    const host = { node, machine: new BroadcastMachine({ node, random, settings: this.#settings }), isUp: true, wakeAt: Infinity }
    this.hosts.set(node, host)
    return host
  }

  /** Starts as many nodes, that know each other from the first moment. */
  start(count: number): void {
    for (let i = 0; i < count; i++) this.add(`n${i}`)
    for (const observer of this.up())
      for (const { node } of this.up()) if (node !== observer.node) this.input(observer.node, { type: 'member-up', node })
  }

  /** A node comes, and all learn of it, and it of all. */
  join(node: string): void {
    this.add(node)
    for (const other of this.up()) {
      if (other.node === node) continue
      this.input(other.node, { type: 'member-up', node })
      this.input(node, { type: 'member-up', node: other.node })
    }
  }

  /** A node stops; nobody is told. */
  crash(node: string): void {
    this.host(node).isUp = false
  }

  /** All that run are told that a node is gone. */
  tellDown(node: string): void {
    for (const other of this.up()) this.input(other.node, { type: 'member-down', node })
  }

  up(): BroadcastHost[] {
    return [...this.hosts.values()].filter(({ isUp }) => isUp)
  }

  host(node: string): BroadcastHost {
    const host = this.hosts.get(node)
    assert(host !== undefined, `a host ${node}`)
    return host
  }

  broadcast(node: string, payload: Uint8Array, wantsReport: boolean = false, broadcast: number = 0): void {
    this.input(node, { type: 'broadcast', broadcast, payload, wantsReport })
  }

  input(node: string, input: BroadcastInput): void {
    this.#deliver(this.host(node), input)
  }

  run(ms: number): void {
    const until = this.now + ms
    while (this.#agenda.peekTime() <= until) {
      this.now = this.#agenda.peekTime()
      const { host, from, bytes } = this.#agenda.pop()!
      if (bytes !== undefined && from === '') this.#deliver(host, { type: 'shouted', bytes })
      else if (bytes !== undefined) this.#deliver(host, { type: 'message', from, bytes })
      else if (host.wakeAt === this.now) this.#wake(host)
    }
    this.now = until
  }

  /** The sum of one counter over all that run. */
  sum(value: (stats: BroadcastStats) => number): number {
    let sum = 0
    for (const { machine } of this.up()) sum += value(machine.stats())
    return sum
  }

  #deliver(host: BroadcastHost, input: BroadcastInput): void {
    if (!host.isUp) return
    host.machine.handle(input, this.now)
    this.#settle(host)
  }

  #wake(host: BroadcastHost): void {
    host.wakeAt = Infinity
    if (!host.isUp) return
    host.machine.handleTimeout(this.now)
    this.#settle(host)
  }

  #settle(host: BroadcastHost): void {
    for (const output of host.machine.drain()) this.#carryOut(host, output)
    const deadline = host.machine.nextDeadline()
    if (deadline >= host.wakeAt) return
    host.wakeAt = Math.max(deadline, this.now)
    this.#agenda.push(host.wakeAt, { host, from: '', bytes: undefined })
  }

  #carryOut(host: BroadcastHost, output: BroadcastOutput): void {
    switch (output.type) {
      case 'send': {
        this.sentMessages++
        const to = this.hosts.get(output.to)
        if (to === undefined || !this.isOpen(host.node, output.to)) return
        if (this.lossShare > 0 && this.#random.float() < this.lossShare) return
        return this.#agenda.push(this.now + MIN_LATENCY_MS + this.#random.float() * LATENCY_SPREAD_MS, {
          host: to,
          from: host.node,
          bytes: output.bytes,
        })
      }
      case 'shout': {
        this.shouts++
        for (const to of this.up()) {
          if (to === host || !this.isHeard(host.node, to.node)) continue
          if (this.lossShare > 0 && this.#random.float() < this.lossShare) continue
          this.#agenda.push(this.now + MIN_LATENCY_MS, { host: to, from: '', bytes: output.bytes })
        }
        return
      }
      case 'deliver':
        return void this.deliveries.push({
          at: this.now,
          node: host.node,
          origin: output.origin,
          payload: output.payload,
          hops: output.hops,
        })
      case 'report':
        return void this.reports.push({ at: this.now, node: host.node, report: output })
      case 'refused':
        return void this.refused.push({ node: host.node, from: output.from, reason: output.reason })
    }
  }
}
