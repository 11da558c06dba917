/**
 * Machines wired by a network without wires, for tests: virtual time, packets that get lost by chance, links that are closed, hosts that
 * crash or stand still for a while. The same seed gives the same run.
 */
import { assert } from '../../lib/assert.ts'
import { Random } from '../../lib/random.ts'
import { endpointKey } from '../endpoint.ts'
import type { Endpoint, PacketMessage, ProtocolVersions } from '../messages.ts'
import { GOSSIP_PROFILES, type GossipProfile } from '../profile.ts'
import { SwimMachine } from '../swim.ts'
import type { SwimInput, SwimLimits, SwimOutput } from '../swim-types.ts'

export const VERSIONS: ProtocolVersions = [1, 5, 2, 2, 5, 5]

export interface ClusterOptions {
  readonly seed: number | string
  readonly profile?: GossipProfile
  readonly lossShare?: number
  readonly limits?: Partial<SwimLimits>
}

/** An output that is not traffic, and who had it when. */
export interface ClusterEvent {
  readonly at: number
  readonly node: string
  readonly output: SwimOutput
}

export interface Host {
  readonly node: string
  readonly endpoint: Endpoint
  readonly machine: SwimMachine
  isUp: boolean
  /** What came while it stands still; undefined when it does not. */
  waiting: SwimInput[] | undefined
  wakeAt: number
}

interface Task {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

const MIN_LATENCY_MS = 1
const LATENCY_SPREAD_MS = 4

export class VirtualCluster {
  now = 0
  lossShare: number
  /** Whether anything passes from one host to another. */
  isOpen: (from: string, to: string, kind: 'packet' | 'stream') => boolean = () => true
  /** Sees each packet before it is sent. */
  onPacket: (from: string, to: string, messages: readonly PacketMessage[]) => void = () => {}
  readonly events: ClusterEvent[] = []
  readonly hosts: Map<string, Host> = new Map()
  readonly #options: ClusterOptions
  readonly #random: Random
  readonly #byEndpoint: Map<string, Host> = new Map()
  readonly #requests: Map<number, { readonly opener: Host; readonly stream: number }> = new Map()
  readonly #tasks: Task[] = []
  #nextOrder = 0
  #nextRequest = 0

  constructor(options: ClusterOptions) {
    this.#options = options
    this.lossShare = options.lossShare ?? 0
    this.#random = new Random(options.seed)
  }

  /** Starts a member, at an endpoint of its own unless one is given. */
  add(node: string, changes: { versions?: ProtocolVersions; meta?: Uint8Array; endpoint?: Endpoint } = {}): Host {
    const number = this.#byEndpoint.size + 1
    const endpoint = changes.endpoint ?? { address: Uint8Array.of(10, 0, number >>> 8, number & 0xff), port: 7946 }
    const machine = new SwimMachine(
      {
        node,
        endpoint,
        meta: changes.meta ?? new Uint8Array(0),
        versions: changes.versions ?? VERSIONS,
        profile: this.#options.profile ?? GOSSIP_PROFILES.lan,
        random: this.#random.fork(`${node}/${this.#nextOrder}`),
        messageBytes,
        packetBytes: 1400,
        ...(this.#options.limits === undefined ? {} : { limits: this.#options.limits }),
      },
      this.now,
    )
    const host: Host = { node, endpoint, machine, isUp: true, waiting: undefined, wakeAt: Infinity }
    this.hosts.set(node, host)
    this.#byEndpoint.set(endpointKey(endpoint), host)
    this.#settle(host)
    return host
  }

  host(node: string): Host {
    const host = this.hosts.get(node)
    assert(host !== undefined, `a host ${node}`)
    return host
  }

  machine(node: string): SwimMachine {
    return this.host(node).machine
  }

  join(node: string, seed: string): void {
    this.input(node, { type: 'join', endpoints: [this.host(seed).endpoint] })
  }

  input(node: string, input: SwimInput): void {
    this.#deliver(this.host(node), input)
  }

  crash(node: string): void {
    this.host(node).isUp = false
  }

  /** The host does nothing for a while, and gets then what came meanwhile. */
  freeze(node: string, ms: number): void {
    const host = this.host(node)
    host.waiting = []
    this.#at(this.now + ms, () => {
      const inputs = host.waiting ?? []
      host.waiting = undefined
      this.#wake(host)
      for (const input of inputs) this.#deliver(host, input)
    })
  }

  run(ms: number): void {
    const until = this.now + ms
    while (this.#tasks.length > 0 && this.#tasks[0]!.at <= until) {
      const task = this.#take()
      this.now = task.at
      task.run()
    }
    this.now = until
  }

  /** Runs until the condition holds, looked at every 50 ms; whether it did within `mostMs`. */
  runUntil(condition: () => boolean, mostMs: number): boolean {
    for (let passed = 0; passed < mostMs; passed += 50) {
      if (condition()) return true
      this.run(50)
    }
    return condition()
  }

  /** What one member thinks of another. */
  stateOf(observer: string, node: string): string | undefined {
    return this.machine(observer).member(node)?.state
  }

  /** Whether all that run think so of a member. */
  allSee(node: string, state: string): boolean {
    return [...this.hosts.values()].every((host) => !host.isUp || host.machine.member(node)?.state === state)
  }

  /** Whether all that run see each other alive, and nobody else. */
  isWhole(): boolean {
    const up = [...this.hosts.values()].filter((host) => host.isUp)
    return up.every(
      ({ machine }) => machine.status().alive === up.length && up.every(({ node }) => machine.member(node)?.state === 'alive'),
    )
  }

  eventsOf<Type extends SwimOutput['type']>(type: Type): { at: number; node: string; output: Extract<SwimOutput, { type: Type }> }[] {
    return this.events.flatMap(({ at, node, output }) =>
      output.type === type ? [{ at, node, output: output as Extract<SwimOutput, { type: Type }> }] : [],
    )
  }

  // ---- the network ----

  #deliver(host: Host, input: SwimInput): void {
    if (!host.isUp) return
    if (host.waiting !== undefined) return void host.waiting.push(input)
    host.machine.handle(input, this.now)
    this.#settle(host)
  }

  #settle(host: Host): void {
    for (const output of host.machine.drain()) this.#carryOut(host, output)
    const deadline = host.machine.nextDeadline()
    assert(Number.isFinite(deadline), 'a machine that always wants to be called again')
    if (deadline >= host.wakeAt) return
    host.wakeAt = deadline
    this.#at(Math.max(deadline, this.now), () => {
      if (host.wakeAt === deadline) this.#wake(host)
    })
  }

  #wake(host: Host): void {
    host.wakeAt = Infinity
    if (!host.isUp || host.waiting !== undefined) return
    if (host.machine.nextDeadline() <= this.now) host.machine.handleTimeout(this.now)
    this.#settle(host)
  }

  #carryOut(host: Host, output: SwimOutput): void {
    switch (output.type) {
      case 'send':
        return this.#sendPacket(host, output.to, output.messages)
      case 'open-stream': {
        const target = this.#byEndpoint.get(endpointKey(output.to))
        const request = this.#nextRequest++
        this.#requests.set(request, { opener: host, stream: output.stream })
        return this.#pass(host, target, 'stream', { type: 'stream-opened', request, from: host.endpoint, message: output.message })
      }
      case 'answer':
      case 'refuse': {
        const { opener, stream } = this.#requests.get(output.request)!
        this.#requests.delete(output.request)
        const input: SwimInput =
          output.type === 'answer'
            ? { type: 'stream-answered', stream, message: output.message }
            : { type: 'stream-failed', stream, reason: 'closed without an answer' }
        return this.#pass(host, opener, 'stream', input)
      }
      case 'close-stream':
        return
      default:
        this.events.push({ at: this.now, node: host.node, output })
    }
  }

  #sendPacket(host: Host, to: Endpoint, messages: readonly PacketMessage[]): void {
    const target = this.#byEndpoint.get(endpointKey(to))
    this.onPacket(host.node, target?.node ?? '', messages)
    if (this.lossShare > 0 && this.#random.float() < this.lossShare) return
    this.#pass(host, target, 'packet', { type: 'packet', from: host.endpoint, messages })
  }

  #pass(from: Host, to: Host | undefined, kind: 'packet' | 'stream', input: SwimInput): void {
    if (to === undefined || !this.isOpen(from.node, to.node, kind)) return
    this.#at(this.now + MIN_LATENCY_MS + this.#random.float() * LATENCY_SPREAD_MS, () => this.#deliver(to, input))
  }

  // ---- time: a binary heap of tasks ----

  #at(at: number, run: () => void): void {
    const task = { at, order: this.#nextOrder++, run }
    const tasks = this.#tasks
    let place = tasks.push(task) - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (isBefore(tasks[parent]!, task)) break
      tasks[place] = tasks[parent]!
      place = parent
    }
    tasks[place] = task
  }

  #take(): Task {
    const tasks = this.#tasks
    const first = tasks[0]!
    const last = tasks.pop()!
    if (tasks.length === 0) return first
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child >= tasks.length) break
      if (child + 1 < tasks.length && isBefore(tasks[child + 1]!, tasks[child]!)) child++
      if (isBefore(last, tasks[child]!)) break
      tasks[place] = tasks[child]!
      place = child
    }
    tasks[place] = last
    return first
  }
}

/** About what the messages take in msgpack. */
export function messageBytes(message: PacketMessage): number {
  switch (message.type) {
    case 'alive':
      return 60 + message.node.length + message.meta.length
    case 'suspect':
    case 'dead':
      return 34 + message.node.length + message.from.length
    case 'user':
      return 3 + message.bytes.length
    case 'ping':
    case 'indirect-ping':
    case 'ack':
    case 'nack':
      return 70
  }
}

function isBefore(a: Task, b: Task): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at
}
