/**
 * Machines wired by a network without wires, for tests: virtual time, packets that get lost by chance, links that are closed, hosts that
 * crash or stand still for a while. The same seed gives the same run. What kind of machine it is, only the kind's own file knows.
 */
import { assert } from '../../lib/assert.ts'
import { EventQueue } from '../../lib/event-queue.ts'
import { Random } from '../../lib/random.ts'
import { endpointKey } from '../endpoint.ts'
import type { Endpoint, PacketMessage, StreamMessage, User } from '../messages.ts'
import type { SwimInput, SwimOutput } from '../swim-types.ts'

type TransportInput = Extract<
  SwimInput,
  { readonly type: 'packet' | 'send-failed' | 'stream-opened' | 'stream-answered' | 'stream-failed' }
>
type TransportOutput =
  | Extract<SwimOutput, { readonly type: 'send' | 'open-stream' | 'close-stream' | 'answer' | 'refuse' }>
  | { readonly type: 'send-stream'; readonly to: Endpoint; readonly node: string | undefined; readonly message: User }

/** A machine that talks by packets and streams; all its other outputs are events. */
export interface NetworkMachine<Input, Output> {
  handle(input: Input | TransportInput, now: number): void
  handleTimeout(now: number): void
  nextDeadline(): number
  drain(): Output[]
}

/** An output that is not traffic, and who had it when. */
export interface NetworkEvent<Output> {
  readonly at: number
  readonly node: string
  readonly output: Output
}

export interface Host<Input, Kind> {
  readonly node: string
  readonly endpoint: Endpoint
  readonly machine: Kind
  isUp: boolean
  /** It was told to leave: there may be nothing more that it waits for. */
  hasLeft: boolean
  /** What came while it stands still; undefined when it does not. */
  waiting: (Input | TransportInput)[] | undefined
  wakeAt: number
}

const MIN_LATENCY_MS = 1
const LATENCY_SPREAD_MS = 4

export class VirtualNetwork<
  Input extends { readonly type: string },
  Output extends { readonly type: string },
  Kind extends NetworkMachine<Input, Output>,
> {
  now = 0
  lossShare: number
  /** Whether anything passes from one host to another. */
  isOpen: (from: string, to: string, kind: 'packet' | 'stream') => boolean = () => true
  /** Sees each packet before it is sent. */
  onPacket: (from: string, to: string, messages: readonly PacketMessage[]) => void = () => {}
  /** Sees each message on a stream before it is sent. */
  onStream: (message: StreamMessage) => void = () => {}
  readonly events: NetworkEvent<Output>[] = []
  readonly hosts: Map<string, Host<Input, Kind>> = new Map()
  readonly #random: Random
  readonly #byEndpoint: Map<string, Host<Input, Kind>> = new Map()
  readonly #requests: Map<number, { readonly opener: Host<Input, Kind>; readonly stream: number }> = new Map()
  readonly #agenda: EventQueue<() => void> = new EventQueue()
  #scheduled = 0
  #nextRequest = 0

  constructor(seed: number | string, lossShare: number) {
    this.lossShare = lossShare
    this.#random = new Random(seed)
  }

  /** A stream of random numbers for a machine that is about to be started. */
  protected randomFor(node: string): Random {
    return this.#random.fork(`${node}/${this.#scheduled}`)
  }

  /** An endpoint that no host has. */
  protected freeEndpoint(): Endpoint {
    const number = this.#byEndpoint.size + 1
    return { address: Uint8Array.of(10, 0, number >>> 8, number & 0xff), port: 7946 }
  }

  /** A machine is there from now on; the host that was there before by its name, or at its endpoint, is not found any more. */
  protected start(node: string, endpoint: Endpoint, machine: Kind): Host<Input, Kind> {
    const host: Host<Input, Kind> = { node, endpoint, machine, isUp: true, hasLeft: false, waiting: undefined, wakeAt: Infinity }
    this.hosts.set(node, host)
    this.#byEndpoint.set(endpointKey(endpoint), host)
    this.#settle(host)
    return host
  }

  host(node: string): Host<Input, Kind> {
    const host = this.hosts.get(node)
    assert(host !== undefined, `a host ${node}`)
    return host
  }

  machine(node: string): Kind {
    return this.host(node).machine
  }

  input(node: string, input: Input): void {
    const host = this.host(node)
    if (input.type === 'leave') host.hasLeft = true
    this.#deliver(host, input)
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
    while (this.#agenda.peekTime() <= until) {
      this.now = this.#agenda.peekTime()
      this.#agenda.pop()!()
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

  eventsOf<Type extends Output['type']>(type: Type): { at: number; node: string; output: Extract<Output, { type: Type }> }[] {
    return this.events.flatMap(({ at, node, output }) =>
      output.type === type ? [{ at, node, output: output as Extract<Output, { type: Type }> }] : [],
    )
  }

  // ---- the network ----

  #deliver(host: Host<Input, Kind>, input: Input | TransportInput): void {
    if (!host.isUp) return
    if (host.waiting !== undefined) return void host.waiting.push(input)
    host.machine.handle(input, this.now)
    this.#settle(host)
  }

  #settle(host: Host<Input, Kind>): void {
    for (const output of host.machine.drain()) this.#carryOut(host, output)
    const deadline = host.machine.nextDeadline()
    assert(
      Number.isFinite(deadline) || (host.hasLeft && deadline === Infinity),
      'until it has left, a machine always wants to be called again',
    )
    if (deadline >= host.wakeAt) return
    host.wakeAt = deadline
    this.#at(Math.max(deadline, this.now), () => {
      if (host.wakeAt === deadline) this.#wake(host)
    })
  }

  #wake(host: Host<Input, Kind>): void {
    host.wakeAt = Infinity
    if (!host.isUp || host.waiting !== undefined) return
    if (host.machine.nextDeadline() <= this.now) host.machine.handleTimeout(this.now)
    this.#settle(host)
  }

  #carryOut(host: Host<Input, Kind>, given: Output): void {
    const output = given as Output | TransportOutput as TransportOutput
    switch (output.type) {
      case 'send':
        return this.#sendPacket(host, output.to, output.messages)
      case 'open-stream': {
        const target = this.#byEndpoint.get(endpointKey(output.to))
        if (target?.isUp === false && this.isOpen(host.node, target.node, 'stream') && this.isOpen(target.node, host.node, 'stream')) {
          return this.#pass(target, host, 'stream', {
            type: 'stream-failed',
            stream: output.stream,
            reason: 'connection refused',
            isRefused: true,
          })
        }
        const request = this.#nextRequest++
        this.onStream(output.message)
        this.#requests.set(request, { opener: host, stream: output.stream })
        return this.#pass(host, target, 'stream', { type: 'stream-opened', request, from: host.endpoint, message: output.message })
      }
      case 'answer':
      case 'refuse': {
        const { opener, stream } = this.#requests.get(output.request)!
        this.#requests.delete(output.request)
        if (output.type === 'answer') this.onStream(output.message)
        const input: TransportInput =
          output.type === 'answer'
            ? { type: 'stream-answered', stream, message: output.message }
            : { type: 'stream-failed', stream, reason: 'closed without an answer' }
        return this.#pass(host, opener, 'stream', input)
      }
      case 'send-stream': {
        const target = this.#byEndpoint.get(endpointKey(output.to))
        const request = this.#nextRequest++
        this.onStream(output.message)
        this.#requests.set(request, { opener: host, stream: -1 })
        return this.#pass(host, target, 'stream', { type: 'stream-opened', request, from: host.endpoint, message: output.message })
      }
      case 'close-stream':
        return
      default:
        this.events.push({ at: this.now, node: host.node, output: given })
    }
  }

  #sendPacket(host: Host<Input, Kind>, to: Endpoint, messages: readonly PacketMessage[]): void {
    const target = this.#byEndpoint.get(endpointKey(to))
    this.onPacket(host.node, target?.node ?? '', messages)
    if (this.lossShare > 0 && this.#random.float() < this.lossShare) return
    this.#pass(host, target, 'packet', { type: 'packet', from: host.endpoint, messages })
  }

  #pass(from: Host<Input, Kind>, to: Host<Input, Kind> | undefined, kind: 'packet' | 'stream', input: Input | TransportInput): void {
    if (to === undefined || !this.isOpen(from.node, to.node, kind)) return
    this.#at(this.now + MIN_LATENCY_MS + this.#random.float() * LATENCY_SPREAD_MS, () => this.#deliver(to, input))
  }

  #at(at: number, run: () => void): void {
    this.#scheduled++
    this.#agenda.push(at, run)
  }
}
