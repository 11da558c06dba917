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
  readonly isMulticast: boolean
}

const MIN_LATENCY_MS = 1
const LATENCY_SPREAD_MS = 4

export class BroadcastCluster {
  now = 0
  lossShare = 0
  isOpen: (from: string, to: string) => boolean = () => true
  /** Whether what one sends by multicast comes to another one. */
  isHeard: (from: string, to: string) => boolean = () => false
  /** Datagrams by multicast; each counts once. */
  readonly multicasts: { readonly at: number; readonly node: string; readonly bytes: number }[] = []
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

  /** Tells all that run, or some of them, that their multicast reaches those of whom `isHeard` says so, in datagrams of up to so many bytes. */
  tellReached(maxBytes: number = 1200, tells: (node: string) => boolean = () => true): void {
    for (const { node } of this.up()) {
      if (!tells(node)) continue
      const names = new Set(this.up().flatMap((other) => (other.node !== node && this.isHeard(node, other.node) ? [other.node] : [])))
      this.input(node, { type: 'reached', names, maxBytes })
    }
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
      const { host, from, bytes, isMulticast } = this.#agenda.pop()!
      if (bytes !== undefined && isMulticast) this.#deliver(host, { type: 'multicast', bytes })
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
    this.#agenda.push(host.wakeAt, { host, from: '', bytes: undefined, isMulticast: false })
  }

  #carryOut(host: BroadcastHost, output: BroadcastOutput): void {
    switch (output.type) {
      case 'send': {
        this.sentMessages++
        const to = this.hosts.get(output.to)
        if (to === undefined || !this.isOpen(host.node, output.to)) return
        return this.#pass(to, host.node, output.bytes, false)
      }
      case 'multicast':
        this.multicasts.push({ at: this.now, node: host.node, bytes: output.bytes.length })
        for (const to of this.up()) if (to !== host && this.isHeard(host.node, to.node)) this.#pass(to, host.node, output.bytes, true)
        return
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

  #pass(host: BroadcastHost, from: string, bytes: Uint8Array, isMulticast: boolean): void {
    if (this.lossShare > 0 && this.#random.float() < this.lossShare) return
    const delayMs = MIN_LATENCY_MS + this.#random.float() * LATENCY_SPREAD_MS
    this.#agenda.push(this.now + delayMs, { host, from, bytes, isMulticast })
  }
}
