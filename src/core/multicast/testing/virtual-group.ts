/**
 * One session in virtual time: a sender, receivers, and a network between them that loses, delays, overtakes and doubles packets as a seed says. Each
 * block's payload is made from its number, and every receiver's outputs are checked as they come.
 */
import { assert } from '../../lib/assert.ts'
import { equalBytes } from '../../lib/bytes.ts'
import { EventQueue } from '../../lib/event-queue.ts'
import { Random } from '../../lib/random.ts'
import { type Kernel, loadKernel } from '../fec/load-kernel.ts'
import { MulticastReceiver } from '../multicast-receiver.ts'
import { MulticastSender } from '../multicast-sender.ts'
import type { GoneReason, ReceiverEnd, ReceiverLimits, SenderEnd, SenderLimits } from '../session-machine-types.ts'
import type { SessionCipher, SessionParameters } from '../session-types.ts'
import { FixedRate } from './fixed-rate.ts'
import { testCipher } from './test-cipher.ts'

const kernel: Kernel = loadKernel()

/** What a network does to packets on their way. */
export interface Path {
  /** One-way delay, ms. */
  readonly delayMs?: number
  /** Added to it, up to so much, evenly. */
  readonly jitterMs?: number
  /** Share of packets to the receiver that get lost. */
  readonly loss?: number
  /** Share of packets to the sender that get lost. */
  readonly feedbackLoss?: number
  /** Packets that get lost together. */
  readonly burst?: number
  /** Share of packets that come twice. */
  readonly doubled?: number
  /** Nothing comes from the group. */
  isBlocked?: boolean
}

export interface GroupOptions {
  readonly seed?: string
  readonly receivers?: number
  readonly blocks?: number
  readonly payloadBytes?: (block: number, most: number) => number
  readonly parameters?: Partial<SessionParameters>
  readonly rateBytesPerSec?: number
  readonly proactiveShare?: number
  readonly path?: Path | ((receiver: number) => Path)
  readonly senderLimits?: Partial<SenderLimits>
  readonly receiverLimits?: Partial<ReceiverLimits>
  readonly isOrdered?: boolean
  readonly isKeyed?: boolean
  /** Whether the sender is told whom to wait for. */
  readonly isInvited?: boolean
}

interface Event {
  readonly to: VirtualReceiver | 'sender' | (() => void)
  readonly bytes?: Uint8Array
  readonly from?: string
}

/** A receiver and all that came out of it. */
export class VirtualReceiver {
  readonly name: string
  readonly path: Path
  readonly machine: MulticastReceiver
  readonly blocks: Set<number> = new Set()
  readonly givenUp: Set<number> = new Set()
  readonly order: number[] = []
  readonly random: Random
  completeAt: number = NaN
  ended: ReceiverEnd | undefined
  endedAt: number = NaN
  firstBlock: number | undefined
  /** Killed: it hears and does nothing any more. */
  isDead = false
  wakeAt: number = Infinity
  burstLeft = 0
  sentPackets = 0
  sentBytes = 0

  constructor(name: string, path: Path, random: Random, machine: MulticastReceiver) {
    this.name = name
    this.path = path
    this.random = random
    this.machine = machine
  }
}

export class VirtualGroup {
  readonly sender: MulticastSender
  readonly receivers: VirtualReceiver[] = []
  readonly rate: FixedRate
  readonly parameters: SessionParameters
  readonly cipher: SessionCipher
  readonly blocks: number
  now = 1000
  finished: SenderEnd | undefined
  finishedAt: number = NaN
  readonly gone: Map<string, GoneReason> = new Map()
  readonly joined: string[] = []
  /** Every datagram that was sent to the group, before it got lost anywhere. */
  onDatagram: ((bytes: Uint8Array) => void) | undefined
  /** Every datagram to the sender. */
  onFeedback: ((bytes: Uint8Array, from: VirtualReceiver) => void) | undefined
  readonly #options: GroupOptions
  readonly #random: Random
  readonly #events: EventQueue<Event> = new EventQueue()
  #senderWakeAt = Infinity
  #isSenderDead = false
  #nextBlock = 0
  #lives = 0

  constructor(options: GroupOptions = {}) {
    this.#options = options
    this.#random = new Random(options.seed ?? 'group')
    this.blocks = options.blocks ?? 20
    this.parameters = { sessionId: '0123456789abcdef', datagramBytes: 256, blockSymbols: 40, ...options.parameters }
    this.cipher = testCipher(kernel, 7, options.isKeyed)
    this.rate = new FixedRate(options.rateBytesPerSec ?? 10_000_000, options.proactiveShare)
    this.sender = new MulticastSender(
      {
        parameters: this.parameters,
        cipher: this.cipher,
        code: kernel.code,
        rate: this.rate,
        limits: options.senderLimits ?? {},
      },
      this.now,
    )
    const count = options.receivers ?? 3
    const names = Array.from({ length: count }, (_, index) => `r${index}`)
    if (options.isInvited !== false) this.sender.handle({ type: 'invited', names }, this.now)
    for (const name of names) this.join(name)
    this.#serveSender()
  }

  /** What the block's payload is. */
  payloadOf(block: number): Uint8Array {
    const most = this.sender.maxPayloadBytes
    const length = this.#options.payloadBytes?.(block, most) ?? most
    const payload = new Uint8Array(length)
    for (let i = 0; i < length; i++) payload[i] = Math.imul(block + 1, 31) + Math.imul(i, 7) + (i >>> 8)
    return payload
  }

  /** A receiver comes, now. */
  join(name: string, path?: Path): VirtualReceiver {
    const index = this.receivers.length
    const given = this.#options.path
    const chosen = path ?? (typeof given === 'function' ? given(index) : given) ?? {}
    const random = this.#random.fork(`${name}-${this.#lives++}`)
    const machine = new MulticastReceiver(
      {
        parameters: this.parameters,
        cipher: this.cipher,
        code: kernel.code,
        random: random.fork('machine'),
        name,
        app: new Uint8Array([index]),
        invited: this.#options.receivers ?? 3,
        isOrdered: this.#options.isOrdered ?? false,
        limits: this.#options.receiverLimits ?? {},
      },
      this.now,
    )
    const receiver = new VirtualReceiver(name, chosen, random, machine)
    this.receivers.push(receiver)
    this.#wakeReceiver(receiver)
    return receiver
  }

  killSender(): void {
    this.#isSenderDead = true
  }

  /** Calls at a time. */
  at(time: number, action: () => void): void {
    this.#events.push(time, { to: action })
  }

  /** Something from elsewhere reaches the sender. */
  injectToSender(bytes: Uint8Array, from: string): void {
    this.sender.handle({ type: 'packet', from, bytes }, this.now)
    this.#serveSender()
  }

  /** Something from elsewhere reaches a receiver. */
  injectTo(receiver: VirtualReceiver, bytes: Uint8Array): void {
    receiver.machine.handle({ type: 'packet', bytes }, this.now)
    this.#serveReceiver(receiver)
  }

  tell(receiver: VirtualReceiver, input: Parameters<MulticastReceiver['handle']>[0]): void {
    receiver.machine.handle(input, this.now)
    this.#serveReceiver(receiver)
  }

  stop(): void {
    this.sender.handle({ type: 'stop' }, this.now)
    this.#serveSender()
  }

  /** Until nothing happens any more, or `forMs` have passed. */
  run(forMs: number = 60_000): void {
    const until = this.now + forMs
    while (this.#events.peekTime() <= until) {
      const at = this.#events.peekTime()
      const event = this.#events.pop() as Event
      this.now = Math.max(this.now, at)
      this.#carryOut(event)
      if (this.finished !== undefined && this.receivers.every(({ ended, isDead }) => ended !== undefined || isDead)) return
    }
    this.now = until
  }

  /** All is over, and every receiver has all blocks from its first one on. */
  assertDelivered(receivers: readonly VirtualReceiver[] = this.receivers): void {
    for (const receiver of receivers) {
      const { blocks, givenUp, name, firstBlock } = receiver
      assert(receiver.ended === 'complete', `${name} is complete, not ${receiver.ended}`)
      const given = [...givenUp].filter((block) => block >= (firstBlock ?? 0))
      assert(given.length === 0, `${name} gave up nothing, not ${given.join()}`)
      for (let block = firstBlock ?? 0; block < this.blocks; block++) assert(blocks.has(block), `${name} has block ${block}`)
    }
    assert(this.finished === 'complete', `complete, not ${this.finished}`)
  }

  #carryOut(event: Event): void {
    const { to, bytes } = event
    if (typeof to === 'function') return to()
    if (to === 'sender') {
      if (bytes !== undefined) this.sender.handle({ type: 'packet', from: event.from ?? '', bytes }, this.now)
      else if (this.now < this.#senderWakeAt) return
      return this.#serveSender()
    }
    if (to.isDead) return
    if (bytes !== undefined) to.machine.handle({ type: 'packet', bytes }, this.now)
    else if (this.now < to.wakeAt) return
    this.#serveReceiver(to)
  }

  #serveSender(): void {
    if (this.#isSenderDead) return
    const { sender } = this
    this.#senderWakeAt = Infinity
    sender.handleTimeout(this.now)
    this.#takeSenderOutputs()
    for (let datagram = sender.nextDatagram(this.now); datagram !== undefined; datagram = sender.nextDatagram(this.now)) {
      this.#toGroup(new Uint8Array(datagram))
      this.#takeSenderOutputs()
    }
    this.#takeSenderOutputs()
    const at = sender.nextDeadline()
    if (at === Infinity || at === this.#senderWakeAt) return
    this.#senderWakeAt = Math.max(at, this.now)
    this.#events.push(this.#senderWakeAt, { to: 'sender' })
  }

  #takeSenderOutputs(): void {
    for (const output of this.sender.drain()) {
      switch (output.type) {
        case 'send':
          this.#toGroup(output.bytes)
          break
        case 'want-blocks':
          for (let i = 0; i < output.count && this.#nextBlock < this.blocks; i++)
            this.sender.handle({ type: 'block', payload: this.payloadOf(this.#nextBlock++) }, this.now)
          if (this.#nextBlock === this.blocks) this.sender.handle({ type: 'end' }, this.now)
          break
        case 'joined':
          this.joined.push(output.name)
          this.gone.delete(output.name)
          break
        case 'reached':
          break
        case 'gone':
          this.gone.set(output.name, output.reason)
          break
        case 'finished':
          assert(this.finished === undefined, 'finished once')
          this.finished = output.reason
          this.finishedAt = this.now
      }
    }
  }

  #toGroup(bytes: Uint8Array): void {
    this.onDatagram?.(bytes)
    for (const receiver of this.receivers) {
      const { path, random } = receiver
      if (receiver.isDead || receiver.ended !== undefined || path.isBlocked === true || this.#isLost(receiver)) continue
      const copies = random.float() < (path.doubled ?? 0) ? 2 : 1
      for (let i = 0; i < copies; i++) this.#events.push(this.now + delayOf(path, random), { to: receiver, bytes })
    }
  }

  #isLost(receiver: VirtualReceiver): boolean {
    const { path, random } = receiver
    if (receiver.burstLeft > 0) {
      receiver.burstLeft--
      return true
    }
    const burst = path.burst ?? 1
    if (random.float() >= (path.loss ?? 0) / burst) return false
    receiver.burstLeft = burst - 1
    return true
  }

  #serveReceiver(receiver: VirtualReceiver): void {
    const { machine, path, random } = receiver
    machine.handleTimeout(this.now)
    for (const output of machine.drain()) {
      switch (output.type) {
        case 'block':
          assert(
            !receiver.blocks.has(output.block) && !receiver.givenUp.has(output.block),
            `${receiver.name}: block ${output.block} ends once`,
          )
          assert(equalBytes(output.payload, this.payloadOf(output.block)), `${receiver.name}: block ${output.block}`)
          receiver.blocks.add(output.block)
          receiver.order.push(output.block)
          break
        case 'given-up':
          assert(
            !receiver.blocks.has(output.block) && !receiver.givenUp.has(output.block),
            `${receiver.name}: block ${output.block} ends once`,
          )
          receiver.givenUp.add(output.block)
          break
        case 'send':
          receiver.sentPackets++
          receiver.sentBytes += output.bytes.length
          this.onFeedback?.(output.bytes, receiver)
          if (random.float() >= (path.feedbackLoss ?? 0))
            this.#events.push(this.now + delayOf(path, random), { to: 'sender', bytes: output.bytes, from: `${receiver.name}:1` })
          break
        case 'welcomed':
          receiver.firstBlock = output.firstBlock
          break
        case 'complete':
          receiver.completeAt = this.now
          break
        case 'ended':
          assert(receiver.ended === undefined, 'ended once')
          receiver.ended = output.reason
          receiver.endedAt = this.now
          break
        case 'heard':
          break
      }
    }
    this.#wakeReceiver(receiver)
  }

  #wakeReceiver(receiver: VirtualReceiver): void {
    const at = Math.max(this.now, receiver.machine.nextDeadline())
    if (at === receiver.wakeAt) return
    receiver.wakeAt = at
    if (at !== Infinity) this.#events.push(at, { to: receiver })
  }
}

function delayOf(path: Path, random: Random): number {
  return (path.delayMs ?? 0.1) + random.float() * (path.jitterMs ?? 0)
}
