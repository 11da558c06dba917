/**
 * A virtual LAN with one multicast session: the shipping sender and thousands of shipping receivers, in virtual time and from a seed.
 *
 * The model: the sender wakes each tenth of a millisecond at the most, as its thread does, and its link sends a packet at a time; what finds the
 * switch's queue full is lost for all. Then the packet comes to all receivers, by a latency of one of a few classes; a port that is slower than the
 * sender's link has a queue of its own. Feedback comes back by the same latency, and gets lost as well. Receivers have no processor:
 * what comes is taken at once.
 */
import { EventQueue } from '../../core/lib/event-queue.ts'
import { Random } from '../../core/lib/random.ts'
import { SESSION_ID_BYTES } from '../../core/multicast/data-packet.ts'
import { MulticastReceiver, MulticastSender } from '../../core/multicast/index.ts'
import { SessionRate } from '../../core/multicast/rate-control.ts'
import type { RateOptions } from '../../core/multicast/rate-options.ts'
import {
  DEFAULT_SENDER_LIMITS,
  type ReceiverEnd,
  type ReceiverLimits,
  type SenderEnd,
  type SenderLimits,
} from '../../core/multicast/session-machine-types.ts'
import type { SessionParameters } from '../../core/multicast/session-types.ts'
import { payloadOf, PLAIN_CIPHER, ScaledRate, TINY_CODE, TINY_DATAGRAM_BYTES, TINY_SYMBOL_BYTES } from './bytes-only-session.ts'
import { Loss, type LossOptions } from './loss.ts'
import { MulticastChecks } from './multicast-checks.ts'

export interface PortOptions {
  readonly bytesPerSec: number
  readonly queueBytes: number
}

export interface MulticastWorldOptions {
  readonly seed: string
  readonly receivers: number
  readonly blocks: number
  readonly blockSymbols: number
  readonly datagramBytes: number
  /** The sender's link, and the queue before it. */
  readonly link: PortOptions
  readonly rate: Partial<RateOptions>
  readonly senderLimits?: Partial<SenderLimits>
  readonly receiverLimits?: Partial<ReceiverLimits>
  /** One way, ms: the least and the most. */
  readonly latencyMs: readonly [least: number, most: number]
  /** At each receiver, of its own. */
  readonly lossOf: (receiver: number) => LossOptions
  /** What is lost for all alike. */
  readonly sharedLoss?: LossOptions
  readonly portOf?: (receiver: number) => PortOptions | undefined
  /** When a receiver starts, ms. */
  readonly joinAt?: (receiver: number) => number
}

export class ReceiverHost {
  readonly index: number
  readonly name: string
  readonly latencyClass: number
  readonly port: PortOptions | undefined
  readonly loss: Loss
  readonly feedbackLoss: Loss
  machine: MulticastReceiver | undefined
  /** Its port passes no multicast: what goes to the group does not come, what it sends does. */
  isBlocked = false
  wakeAt: number = Infinity
  portFreeAt = 0
  /** From 0; −1 where it did not come. */
  firstBlock = -1
  held = 0
  givenUp = 0
  completeAt = -1
  endedAt = -1
  ended: ReceiverEnd | undefined
  isKilled = false
  /** Whether it has sent anything but JOINs. */
  hasReported = false

  constructor(index: number, latencyClass: number, options: MulticastWorldOptions, random: Random) {
    this.index = index
    this.name = `r${index}`
    this.latencyClass = latencyClass
    this.port = options.portOf?.(index)
    const loss = options.lossOf(index)
    this.loss = new Loss(loss, random.fork('loss'))
    // Bursts are of time: what one sends now and then is lost apart.
    this.feedbackLoss = new Loss({ share: loss.share }, random.fork('feedback'))
  }
}

type Task =
  | { readonly type: 'pump' }
  | { readonly type: 'group'; readonly latencyClass: number; readonly bytes: Uint8Array; readonly wireBytes: number }
  | { readonly type: 'port'; readonly host: ReceiverHost; readonly bytes: Uint8Array }
  | { readonly type: 'feedback'; readonly host: ReceiverHost; readonly bytes: Uint8Array }
  | { readonly type: 'wake'; readonly host: ReceiverHost }
  | { readonly type: 'task'; readonly run: (now: number) => void }

/** Ethernet without its checksum, IPv4, UDP. */
export const HEADERS_BYTES = 42
/** docs/specs/07-multicast.md §3. */
const JOIN_TYPE = 16
const NACK_TYPE = 17
const LATENCY_CLASSES = 8
/** The sender's thread wakes at most so often, ms. */
const WAKE_MS = 0.1
const SAMPLE_EVERY_MS = 50

export class MulticastWorld {
  now = 0
  readonly options: MulticastWorldOptions
  readonly sender: MulticastSender
  readonly rate: SessionRate
  readonly hosts: readonly ReceiverHost[]
  readonly checks: MulticastChecks
  /** Blocks that the sender was given. */
  given = 0
  finished: SenderEnd | undefined
  finishedAt = -1
  /** When the first block was asked for. */
  startedAt = -1
  dataPackets = 0
  sentWireBytes = 0
  /** Of it, what was sent before: answers to joins. */
  joiningSentBytes = 0
  droppedPackets = 0
  feedbackPackets = 0
  feedbackWireBytes = 0
  /** Of it, each receiver's JOINs and the report by which it shows that it hears the group. */
  joiningWireBytes = 0
  /** Of it, requests. */
  nackWireBytes = 0
  /** What had been sent back, but for joining, when the first block was asked for. */
  feedbackBeforeBytes = 0
  /** What had been sent back when the last receiver had all, but for joining. */
  feedbackUntilCompleteBytes = 0
  /** By who was told gone, and why. */
  readonly gone: Map<string, string> = new Map()
  isSenderKilled = false
  readonly #queue: EventQueue<Task> = new EventQueue()
  readonly #classes: ReceiverHost[][] = Array.from({ length: LATENCY_CLASSES }, () => [])
  readonly #sharedLoss: Loss
  readonly #parameters: SessionParameters
  readonly #random: Random
  #pumpAt = Infinity
  #pumpedAt = -Infinity
  #linkFreeAt = 0
  #trace = 0x811c9dc5
  #running = 0

  constructor(options: MulticastWorldOptions) {
    this.options = options
    this.#random = new Random(options.seed)
    const random = this.#random
    const { datagramBytes, blockSymbols, receivers } = options
    this.rate = new SessionRate(options.rate, 0)
    this.#parameters = { sessionId: '00112233aabbccdd', datagramBytes, blockSymbols, symbolBytes: TINY_SYMBOL_BYTES }
    const packetOverheadBytes = DEFAULT_SENDER_LIMITS.packetOverheadBytes + datagramBytes - TINY_DATAGRAM_BYTES
    this.checks = new MulticastChecks(this)
    this.sender = new MulticastSender(
      {
        parameters: this.#parameters,
        cipher: PLAIN_CIPHER,
        code: TINY_CODE,
        rate: new ScaledRate(this.rate, datagramBytes),
        limits: { ...options.senderLimits, packetOverheadBytes },
      },
      0,
    )
    const classes = random.fork('classes')
    this.hosts = Array.from({ length: receivers }, (_, index) => {
      const host = new ReceiverHost(index, classes.below(LATENCY_CLASSES), options, random.fork(`r${index}`))
      this.#classes[host.latencyClass]!.push(host)
      this.at(options.joinAt?.(index) ?? 0, (now) => this.#start(host, now))
      return host
    })
    this.#sharedLoss = new Loss(options.sharedLoss ?? { share: 0 }, random.fork('shared'))
    this.sender.handle({ type: 'invited', names: this.hosts.map(({ name }) => name) }, 0)
    this.#settleSender()
    this.#sampleLater()
  }

  get traceHash(): number {
    return this.#trace >>> 0
  }

  /** Receivers that run and have not ended. */
  get running(): number {
    return this.#running
  }

  get pendingEvents(): number {
    return this.#queue.length
  }

  at(time: number, run: (now: number) => void): void {
    this.#queue.push(time, { type: 'task', run })
  }

  /** Runs until the session is over for all, or the time is. */
  run(untilMs: number): void {
    while (this.#queue.peekTime() <= untilMs && !this.#isOver()) {
      this.now = Math.max(this.now, this.#queue.peekTime())
      this.#happen(this.#queue.pop()!)
    }
    this.checks.sample()
  }

  killSender(): void {
    this.isSenderKilled = true
    this.#pumpAt = Infinity
  }

  kill(host: ReceiverHost): void {
    if (host.machine !== undefined && host.ended === undefined) this.#running--
    host.machine = undefined
    host.isKilled = true
  }

  leave(host: ReceiverHost): void {
    host.machine?.handle({ type: 'leave' }, this.now)
    this.#settle(host)
  }

  #isOver(): boolean {
    return (this.finished !== undefined || this.isSenderKilled) && this.#running === 0
  }

  #start(host: ReceiverHost, now: number): void {
    const { receivers, receiverLimits } = this.options
    host.machine = new MulticastReceiver(
      {
        parameters: this.#parameters,
        cipher: PLAIN_CIPHER,
        code: TINY_CODE,
        random: this.#random.fork(`machine ${host.index}`),
        name: host.name,
        app: new Uint8Array(16),
        invited: receivers,
        ...(receiverLimits === undefined ? {} : { limits: receiverLimits }),
      },
      now,
    )
    this.#running++
    this.#settle(host)
  }

  #happen(task: Task): void {
    switch (task.type) {
      case 'pump':
        return this.#pump()
      case 'group':
        return this.#group(task)
      case 'port':
        return this.#receive(task.host, { type: 'packet', bytes: task.bytes })
      case 'feedback':
        if (this.isSenderKilled) return
        this.#mix(Math.round(this.now * 1000) ^ (task.host.index << 8) ^ task.bytes.length)
        this.sender.handle({ type: 'packet', from: task.host.name, bytes: task.bytes }, this.now)
        return this.#settleSender()
      case 'wake':
        return this.#wake(task.host)
      case 'task':
        return task.run(this.now)
    }
  }

  // ---- the sender ----

  #pump(): void {
    if (this.isSenderKilled || this.now < this.#pumpAt) return
    this.#pumpAt = Infinity
    this.#pumpedAt = this.now
    if (this.sender.nextDeadline() <= this.now) this.sender.handleTimeout(this.now)
    for (;;) {
      const datagram = this.sender.nextDatagram(this.now)
      this.#drainSender()
      if (datagram === undefined) break
      this.dataPackets++
      this.#send(datagram.slice(), this.options.datagramBytes)
    }
    this.#settleSender()
  }

  #settleSender(): void {
    this.#drainSender()
    const at = Math.max(this.sender.nextDeadline(), this.now, this.#pumpedAt + WAKE_MS)
    if (at >= this.#pumpAt) return
    this.#pumpAt = at
    this.#queue.push(at, { type: 'pump' })
  }

  #drainSender(): void {
    for (const output of this.sender.drain()) {
      switch (output.type) {
        case 'want-blocks':
          this.#give(output.count)
          break
        case 'send':
          this.#send(output.bytes, output.bytes.length)
          break
        case 'gone':
          this.gone.set(output.name, output.reason)
          break
        case 'finished':
          this.finished = output.reason
          this.finishedAt = this.now
          break
        case 'joined':
        case 'reached':
          break
      }
    }
  }

  #give(count: number): void {
    if (this.startedAt < 0) {
      this.startedAt = this.now
      this.joiningSentBytes = this.sentWireBytes
      this.feedbackBeforeBytes = this.feedbackWireBytes - this.joiningWireBytes
    }
    const { blocks } = this.options
    for (let at = 0; at < count && this.given < blocks; at++) {
      const payload = payloadOf(this.given, this.sender.maxPayloadBytes)
      this.given++
      this.sender.handle({ type: 'block', payload }, this.now)
    }
    if (this.given === blocks) this.sender.handle({ type: 'end' }, this.now)
  }

  /** Puts a packet for the group on the sender's link. */
  #send(bytes: Uint8Array, payloadBytes: number): void {
    const { link, latencyMs } = this.options
    const wireBytes = payloadBytes + HEADERS_BYTES
    this.sentWireBytes += wireBytes
    const bytesPerMs = link.bytesPerSec / 1000
    const startsAt = Math.max(this.now, this.#linkFreeAt)
    if ((startsAt - this.now) * bytesPerMs + wireBytes > link.queueBytes) {
      this.droppedPackets++
      return
    }
    this.#linkFreeAt = startsAt + wireBytes / bytesPerMs
    if (this.#sharedLoss.takes()) return
    const [least, most] = latencyMs
    for (let latencyClass = 0; latencyClass < LATENCY_CLASSES; latencyClass++) {
      if (this.#classes[latencyClass]!.length === 0) continue
      const at = this.#linkFreeAt + least + ((most - least) * latencyClass) / (LATENCY_CLASSES - 1)
      this.#queue.push(at, { type: 'group', latencyClass, bytes, wireBytes })
    }
  }

  // ---- the receivers ----

  #group({ latencyClass, bytes, wireBytes }: Extract<Task, { type: 'group' }>): void {
    const input = { type: 'packet', bytes } as const
    for (const host of this.#classes[latencyClass]!) {
      if (host.machine === undefined || host.isBlocked || host.loss.takes()) continue
      if (host.port === undefined) this.#receive(host, input)
      else this.#queueAtPort(host, host.port, bytes, wireBytes)
    }
  }

  #queueAtPort(host: ReceiverHost, port: PortOptions, bytes: Uint8Array, wireBytes: number): void {
    const bytesPerMs = port.bytesPerSec / 1000
    const startsAt = Math.max(this.now, host.portFreeAt)
    if ((startsAt - this.now) * bytesPerMs + wireBytes > port.queueBytes) return
    host.portFreeAt = startsAt + wireBytes / bytesPerMs
    this.#queue.push(host.portFreeAt, { type: 'port', host, bytes })
  }

  #receive(host: ReceiverHost, input: { readonly type: 'packet'; readonly bytes: Uint8Array }): void {
    if (host.machine === undefined) return
    host.machine.handle(input, this.now)
    this.#settle(host)
  }

  #wake(host: ReceiverHost): void {
    if (host.machine === undefined || this.now < host.wakeAt) return
    host.wakeAt = Infinity
    if (host.machine.nextDeadline() <= this.now) host.machine.handleTimeout(this.now)
    this.#settle(host)
  }

  #settle(host: ReceiverHost): void {
    const machine = host.machine
    if (machine === undefined) return
    for (const output of machine.drain()) {
      switch (output.type) {
        case 'send':
          this.#feedback(host, output.bytes)
          break
        case 'block':
          this.#mix(Math.round(this.now * 1000) ^ (host.index << 8) ^ output.block)
          this.checks.delivered(host, output.block, output.payload)
          break
        case 'given-up':
          this.checks.gaveUp(host, output.block)
          break
        case 'welcomed':
          host.firstBlock = output.firstBlock
          break
        case 'complete':
          host.completeAt = this.now
          this.feedbackUntilCompleteBytes = this.feedbackWireBytes - this.joiningWireBytes
          break
        case 'ended':
          host.ended = output.reason
          host.endedAt = this.now
          this.#running--
          break
        case 'heard':
          break
      }
    }
    const deadline = Math.max(machine.nextDeadline(), this.now)
    if (deadline >= host.wakeAt) return
    host.wakeAt = deadline
    this.#queue.push(deadline, { type: 'wake', host })
  }

  #feedback(host: ReceiverHost, bytes: Uint8Array): void {
    this.feedbackPackets++
    this.feedbackWireBytes += bytes.length + HEADERS_BYTES
    const isJoining = bytes[SESSION_ID_BYTES] === JOIN_TYPE || !host.hasReported
    if (isJoining) this.joiningWireBytes += bytes.length + HEADERS_BYTES
    if (bytes[SESSION_ID_BYTES] === NACK_TYPE) this.nackWireBytes += bytes.length + HEADERS_BYTES
    if (bytes[SESSION_ID_BYTES] !== JOIN_TYPE) host.hasReported = true
    if (host.feedbackLoss.takes()) return
    const [least, most] = this.options.latencyMs
    const delayMs = least + ((most - least) * host.latencyClass) / (LATENCY_CLASSES - 1)
    this.#queue.push(this.now + delayMs, { type: 'feedback', host, bytes })
  }

  #sampleLater(): void {
    this.at(this.now + SAMPLE_EVERY_MS, () => {
      this.checks.sample()
      if (!this.#isOver()) this.#sampleLater()
    })
  }

  #mix(value: number): void {
    const hash = Math.imul(this.#trace ^ (value | 0), 0x01000193)
    this.#trace = hash ^ (hash >>> 15)
  }
}
