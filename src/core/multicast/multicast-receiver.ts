/**
 * A receiver of a reliable multicast session: asks the sender by unicast for what it lacks, in a way that many can do. docs/specs/07-multicast.md.
 *
 * Here: joining, the timers of requests and reports, the sender's status packets, and the end. Blocks are `block-receiver.ts`'s matter.
 */
import { assert } from '../lib/assert.ts'
import { utf8Encode } from '../lib/bytes.ts'
import type { Random } from '../lib/random.ts'
import { isWireError } from '../wire/wire-error.ts'
import { BlockReceiver } from './block-receiver.ts'
import { DATA_TYPE, DataHeader, SESSION_ID_BYTES, isOfSession } from './data-packet.ts'
import { DelayMeter } from './delay-meter.ts'
import { LossMeter } from './loss-meter.ts'
import { ReplayWindow } from './replay-window.ts'
import { RequestPlan } from './request-plan.ts'
import {
  DEFAULT_RECEIVER_LIMITS,
  type ReceiverEnd,
  type ReceiverInput,
  type ReceiverLimits,
  type ReceiverOptions,
  type ReceiverOutput,
  type ReceiverStatus,
} from './session-machine-types.ts'
import {
  type ControlPacket,
  MAX_APP_BYTES,
  MAX_NAME_BYTES,
  type Position,
  REFUSED,
  type StatusPacket,
  type WelcomePacket,
  decodeControlHeader,
  encodeControl,
  openControl,
  sessionIdBytes,
} from './session-packets.ts'

/** Groups whose reports are thinner than this, ms, are large: nobody waits for a report in them. */
const PROMPT_REPORT_MS = 1000

/** Of groups up to this size, a receiver that loses more than this share reports before its time, at most so often, ms. */
const PROMPT_GROUP = 64
const PROMPT_LOSS = 0.1
const PROMPT_MS = 20

/** Invitations up to which joins are not spread. */
const UNSPREAD_JOINS = 8

/** A leave is said so often, as nothing answers it. */
const FAREWELLS = 2

/** How often `lingerMs` may begin anew. */
const MAX_LINGERS = 8

/** Deadlines by name, ms; Infinity for none. */
interface ReceiverTimers {
  join: number
  nack: number
  report: number
  silent: number
  linger: number
}

export class MulticastReceiver {
  readonly #options: ReceiverOptions
  readonly #limits: ReceiverLimits
  readonly #random: Random
  readonly #sessionId: Uint8Array
  readonly #senderId: number
  readonly #blocks: BlockReceiver
  readonly #loss = new LossMeter()
  readonly #delay = new DelayMeter()
  readonly #replay = new ReplayWindow()
  readonly #requests: RequestPlan
  readonly #header = new DataHeader()
  readonly #timers: ReceiverTimers
  readonly #counters = {
    lostPackets: 0,
    overrunPackets: 0,
    nacks: 0,
    reports: 0,
    feedbackBytes: 0,
    foreignPackets: 0,
    malformedPackets: 0,
    forgedPackets: 0,
    replayedPackets: 0,
  }
  #outputs: ReceiverOutput[] = []
  #phase: ReceiverStatus['phase'] = 'joining'
  #receiver = REFUSED
  #counter = 0
  #isHeard = false
  #joinPauseMs: number
  /** Blocks of the session, once that is known. */
  #end = Infinity
  #lingers = 0
  /** What the sender said last. */
  #reportMs = 100
  #echoUs = 0
  #echoAt = -Infinity
  #hasEcho = false
  #reportedAt: number
  #reportedBytes = 0
  #overrun = 0

  constructor(options: ReceiverOptions, now: number) {
    assert(options.app.length <= MAX_APP_BYTES, 'at most 1100 bytes of needs')
    assert(utf8Encode(options.name).length <= MAX_NAME_BYTES, 'a name of at most 255 bytes')
    this.#options = options
    this.#limits = { ...DEFAULT_RECEIVER_LIMITS, ...options.limits }
    this.#random = options.random
    this.#sessionId = sessionIdBytes(options.parameters.sessionId)
    this.#senderId = 1 + this.#random.below(0xffff) * 2 ** 32 + this.#random.uint32()
    this.#blocks = new BlockReceiver(options, this.#limits, this.#loss, (output) => this.#outputs.push(output))
    this.#requests = new RequestPlan(this.#limits, this.#random, this.#blocks, this.#loss, now)
    const { joinSpreadMs, joinRetryMs, unreachedMs } = this.#limits
    const invited = options.invited ?? 1
    const spreadMs = invited <= UNSPREAD_JOINS ? 0 : this.#random.float() * invited * joinSpreadMs
    this.#joinPauseMs = joinRetryMs
    this.#reportedAt = now
    this.#timers = { join: now + spreadMs, nack: Infinity, report: Infinity, silent: now + spreadMs + unreachedMs, linger: Infinity }
  }

  handle(input: ReceiverInput, now: number): void {
    if (this.#phase === 'over') return
    switch (input.type) {
      case 'packet':
        return this.#receive(input.bytes, now)
      case 'overrun':
        this.#overrun += input.packets
        this.#counters.overrunPackets += input.packets
        return
      case 'skip':
        this.#blocks.skip(input.block)
        return this.#considerEnd(now)
      case 'leave':
        if (this.#receiver !== REFUSED) for (let i = 0; i < FAREWELLS; i++) this.#send({ type: 'leave', receiver: this.#receiver })
        return this.#finish('left')
    }
  }

  handleTimeout(now: number): void {
    const timers = this.#timers
    if (this.#phase === 'over') return
    if (now >= timers.linger) return this.#finish('complete')
    if (now >= timers.silent && this.#phase !== 'complete') return this.#finish(this.#isHeard ? 'silent' : 'unreached')
    if (now >= timers.join) this.#join(now)
    if (now >= timers.report) this.#report(now)
    if (now >= timers.nack) this.#nack(now)
  }

  nextDeadline(): number {
    if (this.#phase === 'over') return Infinity
    const { join, nack, report, silent, linger } = this.#timers
    return Math.min(join, nack, report, silent, linger)
  }

  drain(): ReceiverOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  status(): ReceiverStatus {
    const blocks = this.#blocks.counters
    return {
      ...blocks,
      ...this.#counters,
      phase: this.#phase,
      openBlocks: this.#blocks.open.size,
      suppressedNacks: this.#requests.suppressed,
      lostPackets: this.#counters.lostPackets + Math.max(0, this.#loss.lostPackets),
      queueMs: this.#delay.queueMs,
      malformedPackets: blocks.malformedPackets + this.#counters.malformedPackets,
      forgedPackets: blocks.forgedPackets + this.#counters.forgedPackets,
    }
  }

  #receive(bytes: Uint8Array, now: number): void {
    if (!isOfSession(bytes, this.#sessionId)) return void this.#counters.foreignPackets++
    if (bytes[SESSION_ID_BYTES] === DATA_TYPE) return this.#receiveData(bytes, now)
    const header = decodeControlHeader(bytes)
    if (isWireError(header) || header.isOfReceiver) return void this.#counters.malformedPackets++
    if (!this.#replay.isNew(header.counter)) return void this.#counters.replayedPackets++
    const packet = openControl(this.#options.cipher, bytes, header)
    if (packet === undefined) return void this.#counters.forgedPackets++
    if (isWireError(packet)) return void this.#counters.malformedPackets++
    this.#replay.add(header.counter)
    this.#hear(now)
    if (packet.type === 'status') return this.#takeStatus(packet, now)
    if (packet.type === 'welcome') return this.#takeWelcome(packet, now)
    if (packet.type === 'expel' && packet.members.some(({ receiver }) => receiver === this.#receiver)) this.#finish('expelled')
  }

  #receiveData(bytes: Uint8Array, now: number): void {
    const header = this.#header
    if (!header.read(bytes)) return void this.#counters.malformedPackets++
    if (this.#phase === 'complete') return
    const blocks = this.#blocks
    const openBefore = blocks.open.size
    if (blocks.receive(header, bytes, now)) this.#hear(now)
    this.#delay.add(header.timestampUs, now)
    this.#echo(header.timestampUs, now)
    if (header.remaining === 0) {
      blocks.check(now)
      this.#considerReport(now)
    }
    // A run has ended, or a block: what is to be asked for may be another.
    if (header.remaining === 0 || header.index === 0 || blocks.open.size !== openBefore) {
      this.#planNack(now)
      this.#considerEnd(now)
    }
  }

  #hear(now: number): void {
    this.#timers.silent = now + this.#limits.silentMs
    if (this.#isHeard) return
    this.#isHeard = true
    this.#outputs.push({ type: 'heard' })
  }

  #echo(timestampUs: number, now: number): void {
    this.#echoUs = timestampUs
    this.#echoAt = now
    this.#hasEcho = true
  }

  #takeWelcome(packet: WelcomePacket, now: number): void {
    this.#echo(packet.timestampUs, now)
    this.#requests.setGroupSize(packet.groupSize)
    this.#reportMs = packet.reportMs
    if (this.#receiver !== REFUSED) return
    const entry = packet.members.find(({ senderId }) => senderId === this.#senderId)
    if (entry === undefined) return
    if (entry.receiver === REFUSED) return this.#finish('refused')
    this.#receiver = entry.receiver
    this.#timers.join = Infinity
    this.#phase = 'receiving'
    this.#outputs.push({ type: 'welcomed', receiver: entry.receiver, firstBlock: entry.firstBlock })
    this.#blocks.start(entry.firstBlock)
    const spreadMs = packet.groupSize <= UNSPREAD_JOINS ? 0 : Math.min(packet.reportMs, packet.groupSize * this.#limits.joinSpreadMs)
    // The first report proves that the group is heard.
    this.#timers.report = now + this.#random.float() * spreadMs
    if (spreadMs === 0) this.#report(now)
    this.#blocks.check(now)
    this.#planNack(now)
    this.#considerEnd(now)
  }

  #takeStatus(packet: StatusPacket, now: number): void {
    this.#echo(packet.timestampUs, now)
    this.#requests.takeStatus(packet)
    this.#reportMs = packet.reportMs
    if (this.#phase === 'complete') return this.#lingerOn(packet, now)
    this.#loss.reach(packet.sequence, now)
    if (this.#receiver !== REFUSED && !this.#blocks.learn(packet.firstBlock, packet.nextBlock)) return this.#finish('silent')
    if (packet.isEnd) {
      this.#end = packet.nextBlock
      if (this.#phase === 'receiving') this.#phase = 'ending'
    }
    if (packet.isOver) {
      this.#blocks.giveUpAll()
      return packet.isStopped || this.#end === Infinity ? this.#finish('stopped') : this.#finish('complete')
    }
    this.#blocks.check(now)
    this.#requests.suppress(packet, now)
    if (packet.isPoll) this.#reportSoon(now)
    this.#planNack(now)
    this.#considerEnd(now)
  }

  #planNack(now: number): void {
    this.#timers.nack = this.#receiver === REFUSED ? Infinity : this.#requests.nextAt(now)
  }

  #nack(now: number): void {
    const { parameters, cipher } = this.#options
    const position = this.#position(now)
    const planned = this.#requests.take(parameters.datagramBytes - cipher.controlOverheadBytes, now)
    if (planned !== undefined) {
      this.#counters.nacks++
      this.#send({ type: 'nack', ...position, ...planned })
    }
    this.#planNack(now)
  }

  /** At once in a small group, else spread so that not all answer together. */
  #reportSoon(now: number): void {
    const { backoffMs } = this.#requests
    if (backoffMs === 0) return this.#report(now)
    const spreadMs = this.#reportMs <= PROMPT_REPORT_MS ? backoffMs : this.#reportMs
    this.#timers.report = Math.min(this.#timers.report, now + this.#random.float() * spreadMs)
  }

  /** Who loses much says so soon, in a group where that is no flood: the rate, and whether the others wait for it, depend on it. */
  #considerReport(now: number): void {
    if (this.#requests.groupSize > PROMPT_GROUP || now - this.#reportedAt < PROMPT_MS) return
    const { receivedPackets, lostPackets } = this.#loss
    if (lostPackets > PROMPT_LOSS * (receivedPackets + lostPackets)) this.#report(now)
  }

  #report(now: number): void {
    this.#timers.report = now + this.#reportMs * (0.75 + this.#random.float() / 2)
    if (this.#receiver === REFUSED) return
    const { received, lost, bursts } = this.#loss.take()
    this.#counters.lostPackets += lost
    const { receivedBytes } = this.#blocks.counters
    const elapsedMs = Math.max(1, now - this.#reportedAt)
    this.#counters.reports++
    this.#send({
      type: 'report',
      ...this.#position(now),
      isComplete: this.#phase === 'complete',
      receivedPackets: received,
      lostPackets: lost,
      lossBursts: bursts,
      overrunPackets: this.#overrun,
      queueUs: Math.round(1000 * this.#delay.take()),
      receivedBytesPerSec: Math.round(((receivedBytes - this.#reportedBytes) * 1000) / elapsedMs),
    })
    this.#overrun = 0
    this.#reportedAt = now
    this.#reportedBytes = receivedBytes
  }

  #position(now: number): Position {
    return {
      receiver: this.#receiver,
      echoUs: this.#echoUs,
      holdUs: this.#hasEcho ? Math.min(0xffffffff, Math.max(1, Math.round((now - this.#echoAt) * 1000))) : 0,
      sequence: Math.max(0, this.#loss.next) % 2 ** 32,
      firstMissing: this.#blocks.firstMissing,
    }
  }

  #join(now: number): void {
    this.#send({ type: 'join', name: this.#options.name, app: this.#options.app })
    this.#timers.join = now + this.#joinPauseMs * (0.75 + this.#random.float() / 2)
    // Who hears the session and is not known there misses blocks meanwhile; many that did so would be a storm.
    const isUrgent = this.#isHeard && (this.#options.invited ?? 1) <= PROMPT_GROUP
    this.#joinPauseMs = Math.min(isUrgent ? this.#limits.joinRetryMs : this.#limits.maxJoinRetryMs, 1.5 * this.#joinPauseMs)
  }

  #considerEnd(now: number): void {
    if (this.#phase !== 'ending' || this.#blocks.firstMissing < this.#end) return
    this.#phase = 'complete'
    this.#timers.nack = Infinity
    this.#timers.linger = now + this.#limits.lingerMs
    this.#outputs.push({ type: 'complete' })
    this.#reportSoon(now)
  }

  /** The sender still says the end: it has not heard that this receiver is complete. */
  #lingerOn(packet: StatusPacket, now: number): void {
    if (packet.isOver) return this.#finish('complete')
    if (this.#lingers++ < MAX_LINGERS) this.#timers.linger = now + this.#limits.lingerMs
    // In a large group nobody waits for it; drawn again with each status, it would come much sooner than it should.
    if (this.#reportMs <= PROMPT_REPORT_MS) this.#reportSoon(now)
  }

  #finish(reason: ReceiverEnd): void {
    if (this.#phase !== 'complete' && reason === 'complete') this.#outputs.push({ type: 'complete' })
    this.#phase = 'over'
    this.#outputs.push({ type: 'ended', reason })
  }

  #send(packet: ControlPacket): void {
    const bytes = encodeControl(this.#options.cipher, this.#sessionId, this.#senderId, this.#counter++, packet)
    this.#counters.feedbackBytes += bytes.length
    this.#outputs.push({ type: 'send', bytes })
  }
}
