/**
 * State machines wired by a network without wires, for tests: virtual time, messages that are late, lost or doubled by chance, and cut
 * off parts. The same seed gives the same run.
 */
import { assert } from '../../lib/assert.ts'
import { toHex } from '../../lib/bytes.ts'
import { EventQueue } from '../../lib/event-queue.ts'
import { Random } from '../../lib/random.ts'
import { StateMachine } from '../state/state-machine.ts'
import type { StateInput, StateOutput, StateSettings } from '../state/state-types.ts'

export interface StateHost {
  readonly node: string
  machine: StateMachine
  isUp: boolean
  sentBytes: number
  wakeAt: number
}

const MIN_LATENCY_MS = 1
const LATENCY_SPREAD_MS = 9

export class VirtualStateCluster {
  now = 0
  lossShare = 0
  doubleShare = 0
  isOpen: (from: string, to: string) => boolean = () => true
  onOutput: (node: string, output: StateOutput) => void = () => {}
  readonly hosts: Map<string, StateHost> = new Map()
  /** Broken rules: a version that did not grow, an honest node's message that was refused. */
  readonly faults: string[] = []
  readonly #random: Random
  readonly #settings: Partial<StateSettings>
  /** The newest that was seen of a key, by who saw it. */
  readonly #seen: Map<string, { generation: number; version: number; isGone: boolean }> = new Map()
  readonly #agenda: EventQueue<() => void> = new EventQueue()

  constructor(seed: number | string, settings: Partial<StateSettings> = {}) {
    this.#random = new Random(seed)
    this.#settings = settings
  }

  /** Starts a node, which everybody who is up hears of; or starts it anew. */
  add(node: string, generation = 1): StateHost {
    const machine = new StateMachine(
      { node, generation, random: this.#random.fork(`${node}/${generation}`), settings: this.#settings },
      this.now,
    )
    const host = this.hosts.get(node) ?? { node, machine, isUp: true, sentBytes: 0, wakeAt: Infinity }
    host.machine = machine
    host.isUp = true
    host.wakeAt = Infinity
    for (const key of this.#seen.keys()) if (key.startsWith(`${node}>`)) this.#seen.delete(key)
    this.hosts.set(node, host)
    for (const other of this.hosts.values()) {
      if (other === host || !other.isUp) continue
      this.#feed(other, { type: 'member-up', node })
      this.#feed(host, { type: 'member-up', node: other.node })
    }
    this.#settle(host)
    return host
  }

  /** Adds `count` nodes by the names n0, n1 and so on. */
  addMany(count: number): void {
    for (let i = 0; i < count; i++) this.add(`n${i}`)
  }

  crash(node: string): void {
    this.#host(node).isUp = false
    for (const other of this.hosts.values()) if (other.isUp) this.#feed(other, { type: 'member-down', node })
  }

  machine(node: string): StateMachine {
    return this.#host(node).machine
  }

  set(node: string, key: string, value: Uint8Array | string, ttlMs?: number): void {
    const bytes = typeof value === 'string' ? Uint8Array.from(value, (c) => c.charCodeAt(0)) : value
    this.#feed(this.#host(node), { type: 'set', key, value: bytes, ttlMs })
  }

  remove(node: string, key: string): void {
    this.#feed(this.#host(node), { type: 'remove', key })
  }

  tell(node: string, input: StateInput): void {
    this.#feed(this.#host(node), input)
  }

  run(ms: number): void {
    const until = this.now + ms
    while (this.#agenda.peekTime() <= until) {
      this.now = this.#agenda.peekTime()
      this.#agenda.pop()!()
    }
    this.now = until
  }

  /** Runs until the condition holds, looked at every `stepMs`; after how long, or undefined when it takes longer than `mostMs`. */
  runUntil(condition: () => boolean, mostMs: number, stepMs = 50): number | undefined {
    const start = this.now
    while (!condition()) {
      if (this.now - start >= mostMs) return undefined
      this.run(stepMs)
    }
    return this.now - start
  }

  /** What all know of a node's key, hosts that are down not asked. */
  allSee(node: string, key: string, value: string | undefined): boolean {
    const expected = value === undefined ? undefined : toHex(Uint8Array.from(value, (c) => c.charCodeAt(0)))
    return this.#up().every(({ machine }) => {
      const seen = machine.get(node, key)
      return (seen === undefined ? undefined : toHex(seen)) === expected
    })
  }

  /** Whether all that are up hold the same of all nodes. */
  isEqual(): boolean {
    // Cheap first: in most cases it is the versions that differ.
    if (new Set(this.#up().map(({ machine }) => versionsOf(machine))).size > 1) return false
    return new Set(this.#up().map(({ machine }) => pictureOf(machine))).size <= 1
  }

  /** Bytes that each node has sent since the last time, on average. */
  takeBytesPerNode(): number {
    let bytes = 0
    for (const host of this.hosts.values()) {
      bytes += host.sentBytes
      host.sentBytes = 0
    }
    return bytes / this.hosts.size
  }

  // ---- the network ----

  #host(node: string): StateHost {
    const host = this.hosts.get(node)
    assert(host !== undefined, `a host ${node}`)
    return host
  }

  #up(): StateHost[] {
    return [...this.hosts.values()].filter(({ isUp }) => isUp)
  }

  #feed(host: StateHost, input: StateInput): void {
    host.machine.handle(input, this.now)
    this.#settle(host)
  }

  #settle(host: StateHost): void {
    for (const output of host.machine.drain()) this.#carryOut(host, output)
    const deadline = host.machine.nextDeadline()
    assert(Number.isFinite(deadline), 'a machine that always wants to be called again')
    if (deadline >= host.wakeAt) return
    host.wakeAt = deadline
    this.#agenda.push(Math.max(deadline, this.now), () => {
      if (host.wakeAt !== deadline) return
      host.wakeAt = Infinity
      if (!host.isUp) return
      if (host.machine.nextDeadline() <= this.now) host.machine.handleTimeout(this.now)
      this.#settle(host)
    })
  }

  #carryOut(host: StateHost, output: StateOutput): void {
    this.onOutput(host.node, output)
    switch (output.type) {
      case 'send': {
        host.sentBytes += output.bytes.length
        if (!this.isOpen(host.node, output.to)) return
        if (this.lossShare === 0 || this.#random.float() >= this.lossShare) this.#pass(host.node, output.to, output.bytes)
        if (this.doubleShare > 0 && this.#random.float() < this.doubleShare) this.#pass(host.node, output.to, output.bytes)
        return
      }
      case 'refused':
        return void this.faults.push(`${host.node} refused ${output.from}: ${output.reason}`)
      case 'changed':
        return this.#check(host.node, output)
    }
  }

  #check(observer: string, output: Extract<StateOutput, { type: 'changed' }>): void {
    const name = `${observer}>${output.node}/${output.key}`
    const before = this.#seen.get(name)
    const isGone = output.value === undefined
    const { generation, version } = output
    const isNewer = before === undefined || generation > before.generation || (generation === before.generation && version > before.version)
    // A key may go without a version of its own: it expires, its node is forgotten, or a walk no longer finds it.
    if (!isNewer && !isGone) this.faults.push(`${name}: ${generation}/${version} after ${before.generation}/${before.version}`)
    this.#seen.set(name, { generation, version, isGone })
  }

  #pass(from: string, to: string, bytes: Uint8Array): void {
    this.#agenda.push(this.now + MIN_LATENCY_MS + this.#random.float() * LATENCY_SPREAD_MS, () => {
      const host = this.hosts.get(to)
      if (host?.isUp) this.#feed(host, { type: 'message', from, bytes })
    })
  }
}

/** How far a machine knows each node, as a text. */
function versionsOf(machine: StateMachine): string {
  const lines = machine.nodes().map(({ node, generation, version }) => `${node} ${generation}/${version}`)
  return lines.sort().join('\n')
}

/** All that a machine knows, as a text. */
function pictureOf(machine: StateMachine): string {
  const lines = machine.nodes().map(({ node, generation, version }) => {
    const entries = machine
      .entries(node)
      .map(({ key, value, version: at }) => `${key}@${at}=${toHex(value.subarray(0, 64))}:${value.length}`)
    return `${node} ${generation}/${version} ${entries.sort().join(' ')}`
  })
  return lines.sort().join('\n')
}
