/**
 * A host with a node on it: it has a socket's buffer, a processor that may be slow, and may stand still, end, and start again. It drives
 * the node as the agent does: one input after the other, one timer, all outputs carried out.
 */
import type { Endpoint } from '../../core/gossip/messages.ts'
import type { Random } from '../../core/lib/random.ts'
import type { GossipWorld } from './gossip-world.ts'
import { noLayerBytes, type LayerBytes } from './layers.ts'
import type { SimNode, SimOutput, TransportInput } from './sim-node.ts'

/** What a socket holds, and what each datagram takes in it beside its payload: Linux. */
export const SOCKET_BUFFER_BYTES = 212_992
const DATAGRAM_OVERHEAD_BYTES = 512
/** How long after a join that failed it is tried again, ms. */
const JOIN_AGAIN_MS = 2000

interface Waiting {
  readonly input: TransportInput
  readonly bytes: number
}

export class GossipHost {
  readonly index: number
  readonly name: string
  readonly endpoint: Endpoint
  readonly #world: GossipWorld
  readonly #random: Random
  #node: SimNode | undefined
  /** Counts the starts: what was meant for an earlier run does not come to a later one. */
  life = 0
  /** Whether the node was told to leave. */
  isLeaving = false
  /** From when on the node is counted as healthy; Infinity while something is the matter with its host or its links. */
  healthyFrom = 0
  /** When the node was started. */
  startedAt = 0
  /** What the node takes for an input or a timer on the average, ms. */
  cpuMs = 0
  sentPackets = 0
  sentBytes = 0
  streamBytes = 0
  /** Of both, by the layer that they are for. */
  layerBytes: LayerBytes = noLayerBytes()
  /** Whom it joins by, as long as it hasn't succeeded. */
  #seeds: readonly number[] = []
  #isJoiningAgain = false
  /** Inputs that came while the node was busy or stood still. */
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #isPaused = false
  #busyUntil = 0
  #hadTimer = false
  /** When the event comes that looks at the node's timer. */
  #wakeAt = Infinity

  constructor(world: GossipWorld, index: number, random: Random) {
    this.#world = world
    this.index = index
    this.name = `n${index}`
    this.endpoint = { address: Uint8Array.of(10, index >>> 16, (index >>> 8) & 0xff, index & 0xff), port: 7946 }
    this.#random = random
  }

  get node(): SimNode | undefined {
    return this.#node
  }

  get isUp(): boolean {
    return this.#node !== undefined
  }

  get waitingInputs(): number {
    return this.#waiting.length
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  resetTraffic(): void {
    this.sentPackets = 0
    this.sentBytes = 0
    this.streamBytes = 0
    this.layerBytes = noLayerBytes()
  }

  start(node: SimNode, now: number): void {
    this.#node = node
    this.life++
    this.isLeaving = false
    this.startedAt = now
    this.#isPaused = false
    this.#busyUntil = now
    this.#wakeAt = Infinity
    this.#finish(now)
  }

  /** The process ends; what waits for it is gone with it. */
  stop(): void {
    this.#node = undefined
    this.#world.dropped(this.#waiting.length)
    this.#waiting = []
    this.#waitingBytes = 0
  }

  join(seeds: readonly number[], now: number): void {
    this.#seeds = seeds
    const endpoints = seeds.map((seed) => this.#world.hosts[seed]!.endpoint)
    this.#node?.join(endpoints, now)
    this.#finish(now)
  }

  leave(now: number): void {
    this.isLeaving = true
    this.#seeds = []
    this.#node?.leave(now)
    this.#finish(now)
  }

  change(meta: Uint8Array, now: number): void {
    this.#node?.change(meta, now)
    this.#finish(now)
  }

  /** Has the node do what only some kinds of nodes can. */
  act(run: (node: SimNode) => void, now: number): void {
    if (this.#node === undefined) return
    run(this.#node)
    this.#finish(now)
  }

  /** Nothing runs until `resume`: SIGSTOP, a suspended virtual machine, a pause of the garbage collector. */
  pause(): void {
    this.#isPaused = true
  }

  resume(now: number): void {
    this.#isPaused = false
    this.#hadTimer = false
    this.free(now)
  }

  /** An input for the node has arrived; it takes so many bytes of the socket's buffer. */
  receive(input: TransportInput, bytes: number, now: number): void {
    if (this.#node === undefined) return this.#world.dropped(1)
    if (!this.#isPaused && now >= this.#busyUntil && this.#waiting.length === 0) return this.#handle(input, now)
    const taken = bytes === 0 ? 0 : bytes + DATAGRAM_OVERHEAD_BYTES
    if (this.#waitingBytes + taken > SOCKET_BUFFER_BYTES) return this.#world.dropped(1)
    this.#waiting.push({ input, bytes: taken })
    this.#waitingBytes += taken
  }

  /** The processor is free, or may be: the timer and what waits have their turns. */
  free(now: number): void {
    while (this.#node !== undefined && !this.#isPaused && now >= this.#busyUntil) {
      const isDue = this.#node.nextDeadline() <= now
      if (isDue && (!this.#hadTimer || this.#waiting.length === 0)) {
        this.#hadTimer = true
        this.#timeout(this.#node, now)
        continue
      }
      this.#hadTimer = false
      const first = this.#waiting.shift()
      if (first === undefined) return this.#arm(this.#node, now)
      this.#waitingBytes -= first.bytes
      this.#handle(first.input, now)
    }
  }

  /** The time has come at which the node had wanted to be called. */
  wake(now: number): void {
    if (now < this.#wakeAt) return
    this.#wakeAt = Infinity
    const node = this.#node
    if (node === undefined || this.#isPaused || now < this.#busyUntil) return
    if (node.nextDeadline() <= now) this.#timeout(node, now)
    else this.#arm(node, now)
  }

  #timeout(node: SimNode, now: number): void {
    node.handleTimeout(now)
    this.#finish(now)
  }

  #handle(input: TransportInput, now: number): void {
    this.#world.took(this, input, now)
    this.#node!.handle(input, now)
    this.#finish(now)
  }

  /** What the node has done takes its time, and goes out at the end of it. */
  #finish(now: number): void {
    const node = this.#node
    if (node === undefined) return
    let at = now
    if (this.cpuMs > 0) {
      at = now + 2 * this.cpuMs * this.#random.float()
      this.#busyUntil = at
      this.#world.freeAt(this, at)
    }
    for (const output of node.drain()) this.#carryOut(output, now, at)
    this.#arm(node, now)
  }

  #carryOut(output: SimOutput, now: number, at: number): void {
    switch (output.type) {
      case 'send':
        return this.#world.sendPacket(this, output.to, output.messages, at)
      case 'open-stream':
        return this.#world.openStream(this, output.to, output.stream, output.message, at)
      case 'answer':
        return this.#world.answer(this, output.request, output.message, at)
      case 'refuse':
        return this.#world.answer(this, output.request, undefined, at)
      case 'send-stream':
        return this.#world.sendStream(this, output.to, output.message, at)
      case 'close-stream':
        return
      case 'exchanged':
        if (output.isJoin) this.#joined(output.error === undefined, now)
        return
      case 'departed':
        return this.#world.departed(this)
      default:
        this.#world.told(this, output, now)
    }
  }

  /** The shell's part of joining: one of those that were named is enough; where none answered, all are tried again. */
  #joined(isDone: boolean, now: number): void {
    if (isDone) this.#seeds = []
    if (this.#seeds.length === 0 || this.#isJoiningAgain) return
    const { life } = this
    this.#isJoiningAgain = true
    this.#world.at(now + JOIN_AGAIN_MS, (then) => {
      this.#isJoiningAgain = false
      if (this.life === life && this.#seeds.length > 0) this.join(this.#seeds, then)
    })
  }

  #arm(node: SimNode, now: number): void {
    const deadline = Math.max(node.nextDeadline(), now)
    if (deadline >= this.#wakeAt) return
    this.#wakeAt = deadline
    this.#world.wakeAt(this, deadline)
  }
}
